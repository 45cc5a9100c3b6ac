import { toolSchemas, type ToolArgs, type ToolName } from '@coral/tools';
import type { Decision } from '@coral/policy';
import type { VerifiedCaller } from './caller.js';
import type { ToolPathDeps } from './contract.js';
import {
  BadToolRules,
  InsufficientScope,
  MissingPermission,
  NotAgentOwner,
  ToolDisabled,
  UnknownAgent,
} from './tool-path.errors.js';
import type { CoralError } from '@coral/errors';

/** What is written into the row, whatever was decided; `error` is set when the answer is no. */
export interface Verdict {
  decision: Pick<Decision, 'allowed' | 'rule' | 'reason'>;
  policyRevision: string;
  error?: CoralError;
}

function agentOf(args: ToolArgs): string | undefined {
  return 'agent_id' in args ? args.agent_id : undefined;
}

/** Decided from the policy in force at this moment; what the token lists is for people to read. */
export function decide(
  deps: Pick<ToolPathDeps, 'policy' | 'ownerOfAgent' | 'rules'>,
  caller: VerifiedCaller,
  tool: ToolName,
  args: ToolArgs,
): Verdict {
  const policy = deps.policy();
  const { permission, additionalCheck } = deps.rules.required[tool];
  const subject = { userId: caller.userId };
  const no = (rule: string, error: CoralError): Verdict => ({
    decision: { allowed: false, rule, reason: error.message },
    policyRevision: policy.revision,
    error,
  });
  if (!deps.rules.enabled.includes(tool)) return no('mcp_server.tools', new ToolDisabled(tool));
  const agentId = agentOf(args);
  const agentOwner = agentId === undefined ? undefined : deps.ownerOfAgent(agentId);
  const resource = { ...(agentId && { agentId }), ...(agentOwner && { agentOwner }) };
  const { allowed, rule, reason } = policy.decide(subject, permission, resource);
  const verdict: Verdict = { decision: { allowed, rule, reason }, policyRevision: policy.revision };
  // Before the owner is looked at: who may not use the tool learns nothing about agents from it.
  if (!allowed) return { ...verdict, error: new MissingPermission(caller.userId, tool, permission) };
  // Asked after the policy: who lacks the permission altogether is not sent for a token that would not help.
  if (caller.scope !== undefined && !caller.scope.includes(permission)) {
    return no('scope', new InsufficientScope(tool, permission));
  }
  if (additionalCheck === 'agent_owner_match') {
    if (agentId === undefined || agentOwner === undefined) {
      return no('agent_owner_match', new UnknownAgent(agentId ?? ''));
    }
    if (!policy.owns(subject, agentOwner)) {
      return no('agent_owner_match', new NotAgentOwner(caller.userId, tool, agentId));
    }
  }
  return verdict;
}

/** Refuses rules that could never be kept. */
export function checkRules(deps: Pick<ToolPathDeps, 'handlers' | 'rules'>): void {
  for (const tool of deps.rules.enabled) {
    if (!deps.handlers.has(tool)) {
      throw new BadToolRules(
        `mcp_server.tools.${tool}`,
        `${tool} is enabled but nothing here serves it.`,
        'Remove it.',
      );
    }
    const hasAgent = 'agent_id' in toolSchemas[tool].shape;
    if (deps.rules.required[tool].additionalCheck === 'agent_owner_match' && !hasAgent) {
      throw new BadToolRules(
        `mcp_server.rbac.${tool}.additional_check`,
        `agent_owner_match cannot be checked for ${tool}: it has no argument agent_id.`,
        'Remove the line; coral_fetch_live is the tool that names an agent.',
      );
    }
  }
}

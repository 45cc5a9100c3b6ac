import type { AuditEntry, AuditRow, JsonValue } from '@coral/audit';
import { CoralError, toCoralError, type ErrorKind } from '@coral/errors';
import { toolDefinitions, type ToolArgs, type ToolDefinition, type ToolEnvelope, type ToolName } from '@coral/tools';
import { checkIdempotencyKey, parseArguments, toolNamed } from './arguments.js';
import { CallRecord, outcomeOf } from './call-record.js';
import { leaseIsLive, verifyCaller, type VerifiedCaller } from './caller.js';
import { capText, type PlainEnvelope } from './cap-size.js';
import type { MalformedRequest, Stranger, ToolAnswer, ToolPathDeps, ToolRequest } from './contract.js';
import { runWithin } from './deadline.js';
import { checkRules, decide } from './permission.js';
import { Redactor } from './redact.js';
import { Replays, type Performed } from './replay.js';
import { visibleText } from './visible-text.js';
import { AuditFailed, InsufficientScope, LeaseExpired } from './tool-path.errors.js';

/** An error's text is cut here: handlers may quote the question. Characters. */
const maxErrorText = 2_000;

/** A retry after these deserves a new try; after any other error it would get the same again. */
const transient: ReadonlySet<ErrorKind> = new Set(['unavailable', 'deadline_exceeded', 'cancelled', 'internal']);

/** The one path every tool call takes, whatever door it came through. */
export class ToolPath {
  readonly #deps: ToolPathDeps;
  readonly #redactor: Redactor;
  /** For what leaves. */
  readonly #answers: Redactor;
  readonly #replays: Replays;

  /** Throws `bad_tool_rules` for rules that could never be kept. */
  constructor(deps: ToolPathDeps) {
    checkRules(deps);
    this.#deps = deps;
    this.#redactor = new Redactor(deps.rules.redactFields);
    this.#answers = new Redactor(deps.rules.redactFields, 'forReaders');
    this.#replays = new Replays(deps.clock);
  }

  /**
   * Answers one call. What the model can mend is an answer with `isError`; thrown are only `unauthenticated` errors,
   * `unknown_tool` and `audit_unavailable`. Each way out has left its row.
   */
  async call(request: ToolRequest): Promise<ToolAnswer> {
    const deps = this.#deps;
    const record = new CallRecord(request, this.#redactor, deps.clock);
    try {
      // 1. Who calls: a good token, in the tunnel of its own key, under a live lease.
      const verified = await verifyCaller(deps, request, record.startedAt);
      record.identify(verified);
      if (!verified.caller) throw verified.error;
      const { caller } = verified;

      // 2. What is asked: from here on the canonical arguments are the only ones.
      const tool = toolNamed(request.name);
      const args = parseArguments(tool, request.args);
      record.args = args;
      checkIdempotencyKey(request.idempotencyKey);

      // 3. Whether they may, by the policy of this moment. Retries are decided anew.
      record.verdict = decide(deps, caller, tool, args);
      if (record.verdict.error) throw record.verdict.error;

      // 4. to 8. Once for a call and all its retries.
      const perform = (callers: AbortSignal): Promise<Performed> => this.#perform(record, caller, tool, args, callers);
      const { idempotencyKey: key, signal } = request;
      if (key === undefined) return (await perform(signal)).answer;
      const shared = await this.#replays.share({ caller, key, tool, args, signal }, perform);
      if (!shared.replayed) return shared.answer;
      // A retry's answer leaves only under a live lease, and with a row of its own.
      if (!leaseIsLive(deps, caller, deps.clock.now())) throw new LeaseExpired();
      await this.#append(record.replay(shared));
      return shared.answer;
    } catch (thrown) {
      const error = this.#asCoralError(thrown);
      const answer = this.#errorAnswer(error);
      const isThrown = isForTheDoor(error);
      if (!record.leavesItsRows) await this.#append(record.refusal(error, isThrown ? undefined : answer.text));
      if (isThrown) throw error;
      return answer;
    }
  }

  /** Intent → run → redact → cap → outcome. Rejects only when there must be no answer. */
  async #perform(
    record: CallRecord,
    caller: VerifiedCaller,
    tool: ToolName,
    args: ToolArgs,
    callers: AbortSignal,
  ): Promise<Performed> {
    const { rules, clock, handlers, lease } = this.#deps;
    record.leavesItsRows = true;
    // 4. Nothing runs before this row is durable.
    const intent = await this.#append(record.intent());
    let answer: ToolAnswer;
    let coverage: JsonValue | undefined;
    let error: CoralError | undefined;
    try {
      // 5. The work itself, and only for as long as somebody may have its answer.
      const limits = {
        tool,
        deadlineMs: rules.deadlineMs,
        leaseMs: (lease(caller.agentId)?.expiresAt ?? 0) - clock.now(),
        callers,
        leaseEnd: this.#deps.leaseEnd?.(caller.agentId),
      };
      const { userId, agentId, keyId } = caller;
      const context = { caller: { userId, agentId, keyId }, now: record.startedAt };
      const handler = handlers.get(tool);
      const envelope = await runWithin(limits, context, async (whole) => {
        if (handler === undefined) throw new Error(`no handler for ${tool}`);
        return handler.run(args, whole).catch(notUnauthenticated);
      });
      // The lease may have been revoked while the work went on.
      if (!leaseIsLive(this.#deps, caller, clock.now())) throw new LeaseExpired();

      // 6. Redact, then 7. cap: nothing secret has a say in what fits.
      const redacted = this.#answers.redact(envelope) as PlainEnvelope;
      const { body, text } = capText(redacted, tool, rules.maxResponseBytes);
      coverage = body['coverage'];
      answer = { isError: false, body: body as unknown as ToolEnvelope, text };
    } catch (thrown) {
      error = this.#asCoralError(thrown);
      answer = this.#errorAnswer(error);
    }
    // 8. No answer before this row is durable.
    const outcome = error ? outcomeOf(error) : 'ok';
    const hasAnswer = !(error instanceof LeaseExpired);
    const text = hasAnswer ? answer.text : undefined;
    await this.#append(record.outcome({ outcome, error, text, coverage, intentSeq: intent.seq }));
    if (!hasAnswer) throw error;
    return { answer, outcome, intentSeq: intent.seq, isFinal: error === undefined || !transient.has(error.kind) };
  }

  /** Leaves the row of a call that never became a {@link ToolRequest}: broken JSON-RPC, an oversized body. */
  async refuse(request: MalformedRequest, problem: CoralError): Promise<void> {
    const record = new CallRecord(request, this.#redactor, this.#deps.clock);
    record.identify(await verifyCaller(this.#deps, request, record.startedAt));
    await this.#append(record.outcome({ outcome: outcomeOf(problem), error: problem }));
  }

  /** The tools this caller may call now. Throws `unauthenticated` errors, which leave a row. */
  async visibleTools(from: Stranger): Promise<ToolDefinition[]> {
    const { clock, policy, rules } = this.#deps;
    const verified = await verifyCaller(this.#deps, from, clock.now());
    if (!verified.caller) {
      const { error, known, claimed } = verified;
      const { door, audience, remoteAddress, peer } = from;
      const payload = {
        asked_for: 'tools/list',
        error_reason: error.reason,
        door,
        audience,
        remote_address: remoteAddress,
        ...(peer && { peer }),
        ...claimed,
      };
      const who = { user_id: known?.userId ?? null, agent_id: known?.agentId ?? null };
      await this.#append({ kind: 'auth.refused', ...who, payload });
      throw error;
    }
    const { userId, scope } = verified.caller;
    const inForce = policy();
    return toolDefinitions.filter(({ name }) => {
      const { permission } = rules.required[name];
      const inScope = scope === undefined || scope.includes(permission);
      return inScope && rules.enabled.includes(name) && inForce.decide({ userId }, permission).allowed;
    });
  }

  /** Rejects with `audit_unavailable` whatever went wrong: to a caller it is all the same. */
  async #append(entry: AuditEntry): Promise<AuditRow> {
    try {
      return await this.#deps.audit.append(entry);
    } catch (thrown) {
      if (thrown instanceof CoralError && thrown.reason === 'audit_unavailable') throw thrown;
      throw new AuditFailed(thrown);
    }
  }

  #asCoralError(thrown: unknown): CoralError {
    const error = toCoralError(thrown);
    if (error.kind === 'internal') this.#deps.onInternalError?.(error);
    return error;
  }

  #errorAnswer(problem: CoralError): ToolAnswer {
    const { kind, reason, message, next, where } = problem;
    const cut = (text: string): string => (text.length > maxErrorText ? `${text.slice(0, maxErrorText)}…` : text);
    const text = visibleText(this.#answers.redactText(message));
    const shownNext = next && visibleText(cut(next));
    const error = {
      kind,
      reason,
      message: cut(text),
      ...(shownNext && { next: shownNext }),
      ...(where && { where: visibleText(where) }),
    };
    const body = { error };
    const missing = problem instanceof InsufficientScope ? { missingScope: problem.scope } : {};
    return { isError: true, body, text: JSON.stringify(body), ...missing };
  }
}

/** Said in the protocol's own words (401, JSON-RPC error) instead of in a tool result. */
function isForTheDoor(error: CoralError): boolean {
  return error.kind === 'unauthenticated' || error.reason === 'unknown_tool' || error.reason === 'audit_unavailable';
}

/** The caller's own session is judged here alone: an agent that did not let the colony in is no reason to end it. */
function notUnauthenticated(thrown: unknown): never {
  if (thrown instanceof CoralError && thrown.kind === 'unauthenticated') {
    throw new Error(`a tool failed to authenticate: ${thrown.message}`, { cause: thrown });
  }
  throw thrown;
}

import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod, Payload } from '@nestjs/microservices';
import { AuditLog } from '@coral/audit';
import type { colonyV1 } from '@coral/rpc';
import { Redactor } from '@coral/tool-path';
import type { ColonyConfig } from '../colony.config.js';
import { Admits, Call, Caller } from '../edge/call-context.js';
import type { CallContext, Person } from '../edge/call-context.js';
import { COLONY_CONFIG } from '../edge/foundation.module.js';
import { BadTranscript, TranscriptsNotKept } from './insight.errors.js';

const leaseIdShape = /^eph-[a-z2-7]{16}$/;

/** Keeps the conversations that people give to their colony, as rows of the audit. */
@Controller()
@Admits('person')
export class InsightController {
  private readonly redactor: Redactor;

  constructor(
    private readonly audit: AuditLog,
    @Inject(COLONY_CONFIG) private readonly config: ColonyConfig,
  ) {
    this.redactor = new Redactor(config.mcp_server.data_filtering.redact_fields);
  }

  @GrpcMethod('TranscriptService', 'storeTranscript')
  async storeTranscript(
    @Payload() request: colonyV1.StoreTranscriptRequest,
    @Caller() person: Person,
    @Call() call: CallContext,
  ): Promise<colonyV1.StoreTranscriptResponse> {
    if (!this.config.audit.store_transcripts) throw new TranscriptsNotKept();
    if (!leaseIdShape.test(request.agentId)) throw new BadTranscript('agent_id', 'is not the id of a lease');
    if (request.question.trim() === '') throw new BadTranscript('question', 'is empty');
    const row = await this.audit.append({
      kind: 'ask.transcript',
      user_id: person.userId,
      agent_id: request.agentId,
      payload: {
        question: this.redactor.redactText(request.question),
        answer: this.redactor.redactText(request.answer),
        llm_provider: request.llmProvider,
        llm_model: request.llmModel,
        tool_calls: toolCallsOf(request.toolCallsJson).map((call) => JSON.stringify(this.redactor.redact(call))),
        tokens_input: request.tokensInput,
        tokens_output: request.tokensOutput,
        token_id: person.tokenId,
        ip_address: call.remoteAddress,
      },
    });
    return { auditSeq: row.seq };
  }
}

function toolCallsOf(json: string): unknown[] {
  try {
    const calls: unknown = JSON.parse(json === '' ? '[]' : json);
    if (Array.isArray(calls)) return calls;
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown;
  }
  throw new BadTranscript('tool_calls_json', 'is not a JSON array');
}

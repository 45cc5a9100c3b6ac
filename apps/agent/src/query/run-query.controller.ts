import { Controller } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import type { KeyId } from '@coral/model';
import { agentV1, peerOf } from '@coral/rpc';
import { ColonyKey } from './colony-key.js';
import { notTheColony } from './query.errors.js';
import { QueryDesk } from './query-desk.js';

/** AgentService. The mesh has proven who calls; only the colony is answered. */
@Controller()
export class RunQueryController {
  constructor(
    private readonly desk: QueryDesk,
    private readonly colony: ColonyKey,
  ) {}

  @GrpcMethod('AgentService', 'runQuery')
  async runQuery(
    request: agentV1.RunQueryRequest,
    metadata: Metadata,
    call: ServerUnaryCall<agentV1.RunQueryRequest, agentV1.RunQueryResponse>,
  ): Promise<agentV1.RunQueryResponse> {
    const peer: KeyId | undefined = peerOf(metadata);
    if (peer !== this.colony.keyId) throw notTheColony();
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    return this.desk.answer(request, gone.signal);
  }
}

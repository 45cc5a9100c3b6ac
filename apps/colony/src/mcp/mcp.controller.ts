import { Controller } from '@nestjs/common';
import { Ctx, GrpcMethod, Payload } from '@nestjs/microservices';
import type { Metadata } from '@grpc/grpc-js';
import { Observable } from 'rxjs';
import type { colonyV1 } from '@coral/rpc';
import { Admits, Call } from '../edge/call-context.js';
import type { CallContext } from '../edge/call-context.js';
import { bearerOf, firstText } from '../edge/caller.guard.js';
import { McpDoor } from './mcp-door.js';

/** MCP over gRPC, inside the mesh. One JSON-RPC request per call; cancelling the call cancels the request. */
@Controller()
@Admits('peer')
export class McpController {
  constructor(private readonly door: McpDoor) {}

  @GrpcMethod('McpService', 'exchange')
  exchange(
    @Payload() request: colonyV1.ExchangeRequest,
    @Ctx() metadata: Metadata,
    @Call() call: CallContext,
  ): Observable<colonyV1.ExchangeResponse> {
    const caller = {
      token: bearerOf(metadata),
      peer: call.peer,
      audience: 'mesh' as const,
      door: 'grpc' as const,
      remoteAddress: call.remoteAddress,
      idempotencyKey: firstText(metadata, 'idempotency-key') || undefined,
    };
    return new Observable((subscriber) => {
      const gone = new AbortController();
      const answer = async (): Promise<void> => {
        try {
          for await (const json of this.door.exchange(request.json, caller, gone.signal)) subscriber.next({ json });
          subscriber.complete();
        } catch (thrown) {
          subscriber.error(thrown);
        }
      };
      void answer();
      return () => gone.abort();
    });
  }
}

import { Controller } from '@nestjs/common';
import { GrpcMethod, Payload } from '@nestjs/microservices';
import type { colonyV1 } from '@coral/rpc';
import { Admits, Call } from '../edge/call-context.js';
import type { CallContext } from '../edge/call-context.js';
import { TelemetryIntake } from './telemetry-intake.js';

/** TelemetryService, inside the mesh: the caller is the verified key of the connection. */
@Controller()
@Admits('peer')
export class TelemetryController {
  constructor(private readonly intake: TelemetryIntake) {}

  @GrpcMethod('TelemetryService', 'announceAgent')
  async announceAgent(
    @Payload() request: colonyV1.AnnounceAgentRequest,
    @Call() call: CallContext,
  ): Promise<colonyV1.AnnounceAgentResponse> {
    return await this.intake.announceAgent(call.peer, request);
  }

  @GrpcMethod('TelemetryService', 'pushSummary')
  async pushSummary(
    @Payload() request: colonyV1.PushSummaryRequest,
    @Call() call: CallContext,
  ): Promise<colonyV1.PushSummaryResponse> {
    return await this.intake.pushSummary(call.peer, request);
  }
}

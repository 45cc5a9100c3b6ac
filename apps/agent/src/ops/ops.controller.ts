import { Controller, Get, Header, HttpCode, Res } from '@nestjs/common';
import type { Response } from 'express';
import { AgentRuntime } from '../agent-runtime.js';

/** For whoever runs the agent; no telemetry passes here. */
@Controller()
export class OpsController {
  constructor(private readonly runtime: AgentRuntime) {}

  /** The process runs and its event loop turns. */
  @Get('livez')
  @HttpCode(200)
  livez(): { ok: true } {
    return { ok: true };
  }

  /** Telemetry is taken in and made durable. A colony that is away does not make an agent unready: it buffers. */
  @Get('readyz')
  readyz(@Res() response: Response): void {
    const { ready, connected } = this.runtime;
    response.status(ready ? 200 : 503).json({ ready, colony_connected: connected });
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  metrics(): Promise<string> {
    return this.runtime.metrics.registry.metrics();
  }
}

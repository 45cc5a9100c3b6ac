import { Controller, Get, Header, HttpCode, Res } from '@nestjs/common';
import type { Response } from 'express';
import { ColonyMetrics } from './colony-metrics.js';
import { Readiness } from './readiness.js';

/** For whoever runs the colony: plain HTTP, no secrets, nothing about users or services. */
@Controller()
export class OpsController {
  constructor(
    private readonly readiness: Readiness,
    private readonly metrics: ColonyMetrics,
  ) {}

  @Get('livez')
  @HttpCode(200)
  live(): { live: true } {
    return { live: true };
  }

  @Get('readyz')
  ready(@Res({ passthrough: true }) response: Response): { ready: boolean; checks: Record<string, boolean> } {
    const checks = this.readiness.checks();
    const ready = Object.values(checks).every(Boolean);
    response.status(ready ? 200 : 503);
    return { ready, checks };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  async scrape(): Promise<string> {
    return await this.metrics.text();
  }
}

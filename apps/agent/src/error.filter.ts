import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Response } from 'express';
import { throwError, type Observable } from 'rxjs';
import { httpStatusFor, toCoralError } from '@coral/errors';
import { toServiceError } from '@coral/rpc';
import { describeError, type AgentLog } from './log.js';

/** The one place where an error leaves the agent, over the mesh and the ops port alike. OTLP has answers of its own. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly log: AgentLog;

  constructor(log: AgentLog) {
    this.log = log;
  }

  catch(thrown: unknown, host: ArgumentsHost): Observable<never> | void {
    const error = toCoralError(thrown);
    const isNests = thrown instanceof HttpException;
    if (error.kind === 'internal' && !isNests) this.log.error('a question failed', describeError(error));
    if (host.getType() !== 'http') return throwError(() => toServiceError(error));
    const status = isNests ? thrown.getStatus() : httpStatusFor(error.kind);
    const body = {
      status,
      title: isNests ? thrown.message : error.message,
      reason: isNests ? 'no_such_route' : error.reason,
    };
    host
      .switchToHttp()
      .getResponse<Response>()
      .status(status)
      .type('application/problem+json')
      .send(JSON.stringify(body));
  }
}

import { randomUUID } from 'node:crypto';
import { Catch, HttpException } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import type { Response } from 'express';
import { throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { CoralError, errorKinds, httpStatusFor, toCoralError } from '@coral/errors';
import { toServiceError } from '@coral/rpc';
import type { JsonLogger } from './json-logger.js';

/** The one place where an error leaves the colony, over HTTP and gRPC alike. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly logger: JsonLogger;

  constructor(logger: JsonLogger) {
    this.logger = logger;
  }

  catch(thrown: unknown, host: ArgumentsHost): Observable<never> | void {
    const requestId = randomUUID();
    const error = thrown instanceof HttpException ? fromHttpException(thrown) : toCoralError(thrown, requestId);
    if (error.kind === 'internal') this.logger.failure('a request failed', thrown, { request_id: requestId });
    if (host.getType() !== 'http') return throwError(() => toServiceError(error));
    answerProblem(host.switchToHttp().getResponse<Response>(), error);
  }
}

/** RFC 9457. `type` is the reason: there are no other codes. */
function answerProblem(response: Response, error: CoralError): void {
  const status = httpStatusFor(error.kind);
  response.status(status).type('application/problem+json');
  response.send(
    JSON.stringify({
      type: `urn:coral:error:${error.reason}`,
      title: error.kind,
      status,
      detail: error.message,
      reason: error.reason,
      ...(error.next === undefined ? {} : { next: error.next }),
      ...(error.where === undefined ? {} : { where: error.where }),
    }),
  );
}

/** Raised by Nest itself: no such route, body refused by the parser. */
function fromHttpException(thrown: HttpException): CoralError {
  const status = thrown.getStatus();
  const kind =
    errorKinds.find((one) => httpStatusFor(one) === status) ?? (status < 500 ? 'invalid_argument' : 'internal');
  return new CoralError({
    kind,
    reason: kind === 'not_found' ? 'no_such_route' : `http_${status}`,
    message: kind === 'internal' ? 'An internal error occurred.' : thrown.message,
    cause: thrown,
  });
}

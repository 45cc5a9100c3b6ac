import {
  Metadata,
  Server,
  ServerCredentials,
  type MethodDefinition,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { grpcCodeFor, toCoralError } from '@coral/errors';
import { otlp } from '@coral/rpc';
import { cannotListen } from '../agent.errors.js';
import { describeError } from '../log.js';
import { encodeAccepted, encodeStatus, statusMessage } from './otlp-answers.js';
import type { OtlpServerOptions } from './otlp-http.js';
import type { Signal } from './request-reader.js';

/** Calls one connection may have open at once; bounds what is received before the budget can refuse it. */
const maxConcurrentStreams = 32;

const services: Record<Signal, MethodDefinition<unknown, unknown>> = {
  traces: otlp.TraceServiceService.export as MethodDefinition<unknown, unknown>,
  metrics: otlp.MetricsServiceService.export as MethodDefinition<unknown, unknown>,
  logs: otlp.LogsServiceService.export as MethodDefinition<unknown, unknown>,
};

/** OTLP/gRPC. Bodies stay bytes until their group is read; gzip is inflated by grpc-js within the same limit. */
export class OtlpGrpcServer {
  readonly #options: OtlpServerOptions;
  readonly #server: Server;

  constructor(options: OtlpServerOptions) {
    this.#options = options;
    this.#server = new Server({
      'grpc.max_receive_message_length': options.limits.max_body,
      'grpc.max_concurrent_streams': maxConcurrentStreams,
    });
    for (const signal of Object.keys(services) as Signal[]) {
      const { path } = services[signal];
      const exportMethod: MethodDefinition<Buffer, Buffer> = {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: asBuffer,
        requestDeserialize: asBuffer,
        responseSerialize: asBuffer,
        responseDeserialize: asBuffer,
      };
      this.#server.addService(
        { export: exportMethod },
        {
          export: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
            void this.#export(signal, call.request, answer);
          },
        },
      );
    }
  }

  /** Resolves with host:port once it accepts connections. */
  async start(): Promise<string> {
    const { host, port } = this.#options.listen;
    const target = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(target, ServerCredentials.createInsecure(), (error, found) =>
        error === null ? resolve(found) : reject(cannotListen('otlp.grpc.listen', { host, port }, error)),
      );
    });
    return `${host}:${bound}`;
  }

  /** Takes no new call; calls under way are answered first. */
  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => this.#server.forceShutdown(), 5_000);
      this.#server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
  }

  async #export(signal: Signal, body: Buffer, answer: sendUnaryData<Buffer>): Promise<void> {
    const { intake, metrics, log } = this.#options;
    try {
      intake.reserve(body.length);
      answer(null, encodeAccepted(signal, 'protobuf', await intake.accept(signal, 'protobuf', body)));
    } catch (thrown) {
      const error = toCoralError(thrown);
      metrics.refused(error.reason);
      if (error.kind === 'internal') log.error('a request failed', describeError(thrown));
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', encodeStatus('protobuf', error));
      // Exporters retry UNAVAILABLE, and RESOURCE_EXHAUSTED when RetryInfo is there; an unknown failure is worth a retry.
      const code = error.kind === 'internal' ? 14 : grpcCodeFor(error.kind);
      answer({ code, details: statusMessage(error), metadata });
    }
  }
}

function asBuffer(bytes: Buffer): Buffer {
  return bytes;
}

import { setTimeout as pause } from 'node:timers/promises';
import { SpanKind } from '@opentelemetry/api';
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';

/** Between the exporter's last try and the next one it is given. */
const againMs = 100;

/** Where an agent takes telemetry. */
export interface OtlpDoors {
  otlp_grpc: string;
  otlp_http: string;
}

/**
 * The official exporter with its own retries, and a ledger of what it was told is safe. What the exporter gives up is
 * handed to it again, as a program with a queue of its own would do, so at the end all that was recorded is acknowledged.
 */
class RecordingExporter implements SpanExporter {
  readonly acknowledged: string[] = [];
  givenUp = 0;
  onAcknowledged: () => void = () => undefined;

  constructor(private readonly inner: SpanExporter) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.inner.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) {
        this.acknowledged.push(...spans.map((span) => span.spanContext().spanId));
        this.onAcknowledged();
        done(result);
      } else {
        this.givenUp += 1;
        setTimeout(() => this.export(spans, done), againMs);
      }
    });
  }

  shutdown(): Promise<void> {
    return this.inner.shutdown();
  }
}

class LoadedService {
  readonly exporter: RecordingExporter;
  readonly #provider: TracerProvider;
  #recorded = 0;

  constructor(name: string, exporter: SpanExporter) {
    this.exporter = new RecordingExporter(exporter);
    const processor = new BatchSpanProcessor({
      exporter: this.exporter,
      maxQueueSize: 100_000,
      maxExportBatchSize: 50,
      scheduledDelayMillis: 50,
      exportTimeoutMillis: 300_000,
    });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': name, 'service.instance.id': `${name}-1` }),
      spanProcessors: [processor],
    });
  }

  get recorded(): number {
    return this.#recorded;
  }

  record(requests: number): void {
    const tracer = this.#provider.getTracer('load');
    for (let i = 0; i < requests; i++) {
      const start = Date.now();
      const attributes = { 'http.request.method': 'GET', 'http.route': '/work' };
      tracer.startSpan('GET /work', { kind: SpanKind.SERVER, startTime: start - 5, attributes }).end(start);
      this.#recorded += 1;
    }
  }

  /** Resolves when everything recorded is acknowledged. */
  async close(): Promise<void> {
    await this.#provider.forceFlush();
    await this.#provider.shutdown();
  }
}

/** Three services under steady traffic, one for each OTLP protocol. */
export class SdkLoad {
  readonly #services: LoadedService[];
  readonly #working: Promise<void>;
  #stopping = false;

  constructor({ otlp_grpc: grpc, otlp_http: http }: OtlpDoors) {
    this.#services = [
      new LoadedService('cart', new ProtobufExporter({ url: `http://${http}/v1/traces` })),
      new LoadedService('basket', new JsonExporter({ url: `http://${http}/v1/traces` })),
      new LoadedService('trolley', new GrpcExporter({ url: `http://${grpc}` })),
    ];
    this.#working = this.#work();
  }

  /** Ids of the spans that the agent said it keeps, in the order it said so. */
  get acknowledged(): string[] {
    return this.#services.flatMap(({ exporter }) => exporter.acknowledged);
  }

  get recorded(): number {
    return this.#services.reduce((sum, { recorded }) => sum + recorded, 0);
  }

  /** Exports that the SDK itself gave up after all its retries. */
  get givenUp(): number {
    return this.#services.reduce((sum, { exporter }) => sum + exporter.givenUp, 0);
  }

  /** Resolves in the moment the next export is acknowledged. */
  nextAcknowledged(): Promise<void> {
    return new Promise((resolve) => {
      for (const { exporter } of this.#services) exporter.onAcknowledged = resolve;
    });
  }

  /** Ends the traffic; resolves when all of it is acknowledged. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#working;
    await Promise.all(this.#services.map((service) => service.close()));
  }

  async #work(): Promise<void> {
    while (!this.#stopping) {
      for (const service of this.#services) service.record(4);
      await pause(40);
    }
  }
}

import { SpanKind } from '@opentelemetry/api';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { AgentReady } from './otlp-agent.js';

/** Every protocol an unmodified SDK speaks. */
export const sdkExporters: Record<string, (ready: AgentReady) => SpanExporter> = {
  grpc: (ready) => new GrpcExporter({ url: `http://${ready.otlp_grpc}` }),
  'http-protobuf': (ready) => new ProtoExporter({ url: `http://${ready.otlp_http}/v1/traces` }),
  'http-json': (ready) => new JsonExporter({ url: `http://${ready.otlp_http}/v1/traces` }),
};

/** Serves some requests as a service instrumented with the real SDK would, and exports them. Rejects when an export fails. */
export async function serve(
  service: string,
  exporter: SpanExporter,
  requests: number,
  durationMs: number,
): Promise<void> {
  const failures: Error[] = [];
  const watched: SpanExporter = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.code !== ExportResultCode.SUCCESS) failures.push(result.error ?? new Error('the export failed'));
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.version': '1.0.0', 'host.name': 'e2e' }),
    spanProcessors: [new BatchSpanProcessor({ exporter: watched })],
  });
  const tracer = provider.getTracer('e2e');
  for (let i = 0; i < requests; i++) {
    const end = Date.now();
    tracer
      .startSpan('GET', { kind: SpanKind.SERVER, startTime: end - durationMs, attributes: { 'http.route': '/work' } })
      .end(end);
  }
  await provider.forceFlush();
  await provider.shutdown();
  if (failures.length > 0) throw failures[0];
}

import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
  type ReadableSpan,
  type SpanExporter,
} from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, it } from 'vitest';
import { startIngest, type IngestBench } from '../spec-support/ingest-bench.js';

/** Finished spans as the SDK makes them: one server span over a database call and a failed request. */
async function finishedSpans(): Promise<ReadableSpan[]> {
  const memory = new InMemorySpanExporter();
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'cart',
      'service.version': '1.2.3',
      'service.instance.id': 'one',
      'host.name': 'h1',
    }),
    spanProcessors: [new SimpleSpanProcessor({ exporter: memory })],
  });
  const tracer = provider.getTracer('spec');
  const server = tracer.startSpan('GET', {
    kind: SpanKind.SERVER,
    attributes: { 'http.request.method': 'GET', 'http.route': '/cart/:id', 'http.response.status_code': 200 },
  });
  const query = tracer.startSpan('pg.query:SELECT', {
    kind: SpanKind.CLIENT,
    attributes: {
      'db.system.name': 'postgresql',
      'db.query.text': 'select 1',
      'server.address': 'db',
      'server.port': 5432,
      flags: [1, 2],
      'net.weight': 0.5,
      on: true,
    },
  });
  query.addEvent('row', { n: 7 });
  query.end();
  const call = tracer.startSpan('POST', {
    kind: SpanKind.CLIENT,
    attributes: { 'http.request.method': 'POST', 'server.address': 'pay', 'server.port': 80 },
  });
  call.setStatus({ code: SpanStatusCode.ERROR, message: 'refused' });
  call.end();
  server.end();
  await provider.forceFlush();
  const spans = memory.getFinishedSpans();
  await provider.shutdown();
  return spans;
}

function send(exporter: SpanExporter, spans: ReadableSpan[]): Promise<ExportResult> {
  return new Promise((resolve) => exporter.export(spans, resolve));
}

const exporters: Record<string, (bench: IngestBench) => SpanExporter> = {
  grpc: (bench) => new GrpcExporter({ url: bench.grpc }),
  'http/protobuf': (bench) => new ProtoExporter({ url: `${bench.http}/v1/traces` }),
  'http/json': (bench) => new JsonExporter({ url: `${bench.http}/v1/traces` }),
};

afterEach(() => {
  delete process.env['OTEL_EXPORTER_OTLP_COMPRESSION'];
});

describe.each(Object.keys(exporters))('the OpenTelemetry SDK over %s', (protocol) => {
  it.each(['none', 'gzip'])('exports with compression %s; every field arrives', async (compression) => {
    await using bench = await startIngest();
    process.env['OTEL_EXPORTER_OTLP_COMPRESSION'] = compression;
    const exporter = (exporters[protocol] as (bench: IngestBench) => SpanExporter)(bench);
    const spans = await finishedSpans();
    const result = await send(exporter, spans);
    await exporter.shutdown();
    expect(result.code).toBe(ExportResultCode.SUCCESS);

    const rows = await bench.rows('SELECT * FROM spans ORDER BY seq');
    expect(rows).toHaveLength(3);
    expect(rows.map((row) => row['span_id'])).toEqual(spans.map((span) => span.spanContext().spanId));
    const [query, call, server] = rows as [Record<string, unknown>, Record<string, unknown>, Record<string, unknown>];
    expect(server).toMatchObject({
      service: 'cart',
      version: '1.2.3',
      instance: 'one',
      host: 'h1',
      kind: 'SERVER',
      route: '/cart/:id',
      status: 'UNSET',
      is_error: false,
      peer_kind: null,
    });
    expect(query).toMatchObject({
      kind: 'CLIENT',
      peer_kind: 'database',
      peer_address: 'db:5432',
      name: 'pg.query:SELECT',
    });
    expect(JSON.parse(String(query['attributes']))).toMatchObject({
      flags: [1, 2],
      'net.weight': 0.5,
      on: true,
      'server.port': 5432,
    });
    expect(JSON.parse(String(query['events']))).toMatchObject([{ name: 'row', attributes: { n: 7 } }]);
    expect(call).toMatchObject({ status: 'ERROR', status_message: 'refused', is_error: true, peer_address: 'pay:80' });
    const sent = spans[2] as ReadableSpan;
    const durationNs = BigInt(sent.duration[0]) * 1_000_000_000n + BigInt(sent.duration[1]);
    expect(BigInt(String(server['duration_ns']))).toBe(durationNs);
  });
});

describe('an exporter that sends the same spans again', () => {
  it('is acknowledged, and they are stored once', async () => {
    await using bench = await startIngest();
    const spans = await finishedSpans();
    for (const name of ['grpc', 'http/json', 'http/protobuf'] as const) {
      const exporter = (exporters[name] as (bench: IngestBench) => SpanExporter)(bench);
      expect((await send(exporter, spans)).code).toBe(ExportResultCode.SUCCESS);
      await exporter.shutdown();
    }
    expect(await bench.rows('SELECT count(*)::INT AS n FROM spans')).toEqual([{ n: 3 }]);
    const windows = (await bench.summaries()).flatMap((batch) => batch.windows);
    expect(windows.reduce((sum, window) => sum + window.requests, 0)).toBe(1);
  });
});

import { randomBytes } from 'node:crypto';
import { connect, type ClientHttp2Session } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { otlp } from '@coral/rpc';
import { exportJson, FakeClock, newId, type SpanSketch } from '../spec-support/fixtures.js';
import { startIngest, type IngestBench } from '../spec-support/ingest-bench.js';

const json = { 'content-type': 'application/json' };
const protobuf = { 'content-type': 'application/x-protobuf' };
const clock = () => new FakeClock();
const nowMs = new FakeClock().now();

function send(bench: IngestBench, body: string | Buffer, headers: Record<string, string> = json, path = '/v1/traces') {
  return fetch(bench.http + path, {
    method: 'POST',
    headers,
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
}

/** The code of a google.rpc.Status: field 1, a varint, in protobuf. */
function codeOf(body: Buffer, isProtobuf: boolean): number {
  if (isProtobuf) return body[0] === 8 ? (body[1] as number) : -1;
  return (JSON.parse(body.toString()) as { code: number }).code;
}

function traces(...spans: SpanSketch[]): string {
  return JSON.stringify(exportJson({ 'service.name': 'cart' }, spans));
}

async function count(bench: IngestBench): Promise<number> {
  return Number((await bench.rows('SELECT count(*)::INT AS n FROM spans'))[0]?.['n']);
}

function callGrpc(
  bench: IngestBench,
  body: Buffer,
  metadata = new Metadata(),
): Promise<{ error: ServiceError | null; answer: Buffer | undefined }> {
  const client = new Client(bench.grpc.replace('http://', ''), credentials.createInsecure());
  const same = (bytes: Buffer) => bytes;
  return new Promise((resolve) => {
    const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
    client.makeUnaryRequest(path, same, same, body, metadata, (error, answer) => {
      client.close();
      resolve({ error, answer });
    });
  });
}

type Refusal = [
  name: string,
  path: string,
  headers: Record<string, string>,
  body: string,
  status: number,
  reason: string,
];

describe('OTLP/HTTP refuses what is no OTLP', () => {
  it.each<Refusal>([
    ['another path', '/v1/spans', json, '{}', 404, 'no_such_path'],
    ['another encoding', '/v1/traces', { 'content-type': 'text/plain' }, '{}', 415, 'unsupported_media_type'],
    ['another compression', '/v1/traces', { ...json, 'content-encoding': 'br' }, '{}', 415, 'unsupported_media_type'],
    ['broken JSON', '/v1/traces', json, '{"resourceSpans":[', 400, 'malformed_body'],
    ['JSON that is no object', '/v1/traces', json, '[]', 400, 'malformed_body'],
    ['broken protobuf', '/v1/traces', protobuf, '\x0a\xff', 400, 'malformed_body'],
    ['gzip that is none', '/v1/traces', { ...json, 'content-encoding': 'gzip' }, 'plain', 400, 'malformed_body'],
  ])('%s', async (_name, path, headers, body, status, reason) => {
    await using bench = await startIngest();
    const response = await send(bench, body, headers, path);
    expect(response.status).toBe(status);
    const wanted = headers['content-type'] === protobuf['content-type'] ? protobuf : json;
    expect(response.headers.get('content-type')).toBe(wanted['content-type']);
    expect(response.headers.get('retry-after')).toBeNull();
    const code = status === 404 ? 5 : 3;
    expect(codeOf(Buffer.from(await response.arrayBuffer()), wanted === protobuf)).toBe(code);
    expect(await bench.metrics.registry.metrics()).toContain(
      `coral_agent_requests_refused_total{reason="${reason}"} 1`,
    );
    expect(await count(bench)).toBe(0);
  });

  it('another method', async () => {
    await using bench = await startIngest();
    expect((await fetch(`${bench.http}/v1/traces`)).status).toBe(405);
  });

  it('truncated gzip', async () => {
    await using bench = await startIngest();
    const whole = gzipSync(traces({ endMs: Date.now() }));
    const response = await send(bench, whole.subarray(0, whole.length - 12), { ...json, 'content-encoding': 'gzip' });
    expect(response.status).toBe(400);
  });
});

describe('the body cap', () => {
  it('refuses a larger body with 413, and no retry', async () => {
    await using bench = await startIngest({ limits: { max_body: '64KiB' } });
    const response = await send(bench, randomBytes(100_000), protobuf);
    expect(response.status).toBe(413);
    expect(response.headers.get('retry-after')).toBeNull();
    expect(bench.intake.budget.used).toBe(0);
  });

  it('refuses a gzip bomb at the cap: memory does not follow what it would inflate to', async () => {
    await using bench = await startIngest({ limits: { max_body: '1MiB' } });
    const bomb = gzipSync(Buffer.alloc(400 * 1_048_576));
    expect(bomb.length).toBeLessThan(1_048_576);
    global.gc?.();
    const before = process.memoryUsage.rss();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => send(bench, bomb, { ...json, 'content-encoding': 'gzip' })),
    );
    expect(answers.map((response) => response.status)).toEqual(Array.from({ length: 8 }, () => 413));
    // Eight bombs would inflate to 3.2 GB.
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1_048_576);
    expect(bench.intake.budget.used).toBe(0);
  });

  it('holds over gRPC, gzip bombs included', async () => {
    await using bench = await startIngest({ limits: { max_body: '1MiB' } });
    const session = connect(bench.grpc);
    const before = process.memoryUsage.rss();
    for (const [compressed, body] of [
      [0, randomBytes(2_000_000)],
      [1, gzipSync(Buffer.alloc(400 * 1_048_576))],
    ] as const) {
      expect(await rawGrpc(session, compressed, body)).toBe('8');
    }
    session.close();
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1_048_576);
    expect((await callGrpc(bench, Buffer.alloc(0))).error).toBeNull();
  });
});

/** One gRPC message as bytes on the wire; resolves with grpc-status. */
function rawGrpc(session: ClientHttp2Session, compressed: number, body: Buffer): Promise<string> {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(body.length, 1);
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
      'content-type': 'application/grpc',
      'grpc-encoding': 'gzip',
      te: 'trailers',
    });
    const found = (headers: { 'grpc-status'?: string }) => {
      if (headers['grpc-status'] !== undefined) resolve(headers['grpc-status']);
    };
    stream.on('response', found);
    stream.on('trailers', found);
    stream.on('error', reject);
    stream.resume();
    stream.end(Buffer.concat([head, body]));
  });
}

describe('malformed spans', () => {
  const good = () => ({ endMs: nowMs });
  const cases: [string, SpanSketch, RegExp][] = [
    ['a trace id of 15 bytes', { ...good(), trace: 'ab'.repeat(15) }, /trace_id/],
    ['a zero trace id', { ...good(), trace: '0'.repeat(32) }, /trace_id/],
    ['a span id that is base64', { ...good(), span: 'q83vASNFZ4k=' }, /span_id/],
    ['a parent id of 3 bytes', { ...good(), parent: 'ababab' }, /parent_span_id/],
    ['an end long before the start', { ...good(), durationMs: -60_000 }, /before start/],
    ['an end two hours ahead', { endMs: nowMs + 7_200_000 }, /future/],
    ['an end in another year', { endMs: 1_000_000_000_000 }, /past/],
  ];

  it.each(cases)('%s is rejected by name; the rest of the request is kept', async (_name, bad, problem) => {
    await using bench = await startIngest({ clock: clock() });
    const response = await send(bench, traces(good(), bad, good()));
    expect(response.status).toBe(200);
    const { partialSuccess } = (await response.json()) as {
      partialSuccess: { rejectedSpans: number; errorMessage: string };
    };
    expect(Number(partialSuccess.rejectedSpans)).toBe(1);
    expect(partialSuccess.errorMessage).toMatch(problem);
    expect(await count(bench)).toBe(2);
  });

  it('are told over gRPC too', async () => {
    await using bench = await startIngest();
    const request = otlp.ExportTraceServiceRequest.encode({
      resourceSpans: [
        otlp.ResourceSpans.fromPartial({
          scopeSpans: [{ spans: [{ traceId: Buffer.from('abab', 'hex'), name: 'short' }] }],
        }),
      ],
    }).finish();
    const { answer } = await callGrpc(bench, Buffer.from(request));
    const told = otlp.ExportTraceServiceResponse.decode(answer as Buffer);
    expect(told.partialSuccess).toMatchObject({ rejectedSpans: 1, errorMessage: expect.stringContaining('short') });
  });

  it('a clock ahead by less than an hour is accepted and counted', async () => {
    await using bench = await startIngest({ clock: clock() });
    expect(await (await send(bench, traces({ endMs: nowMs + 3_590_000 }))).json()).toEqual({});
    expect(await count(bench)).toBe(1);
    expect(await bench.metrics.registry.metrics()).toContain('coral_agent_spans_early_total 1');
  });

  it('a clock that steps back a little inside a span makes it 0 ns long', async () => {
    await using bench = await startIngest({ clock: clock() });
    await send(bench, traces({ endMs: nowMs, durationMs: -500 }));
    expect(await bench.rows('SELECT duration_ns::INT AS d, start_time = end_time AS same FROM spans')).toEqual([
      { d: 0, same: true },
    ]);
  });

  it('names and numbers for enums, either case for ids, and unknown fields are understood', async () => {
    await using bench = await startIngest({ clock: clock() });
    const [trace, span] = [newId(16), newId(8)];
    const body = traces({
      endMs: nowMs,
      kind: 'SPAN_KIND_SERVER',
      trace: trace.toUpperCase(),
      span: span.toUpperCase(),
    });
    await send(bench, body.replace('"name":"work"', '"name":"work","newField":{"x":1},"traceState":"a=1"'));
    expect(await bench.rows('SELECT kind, trace_id, span_id FROM spans')).toEqual([
      { kind: 'SERVER', trace_id: trace, span_id: span },
    ]);
  });

  it('hostile attributes stay data: prototype keys, NUL, lone surrogates, endless values and lists', async () => {
    await using bench = await startIngest({
      clock: clock(),
      limits: { max_attributes: 6, max_attribute_value: '64B' },
    });
    const attributes = [
      ['__proto__', { stringValue: 'p' }],
      ['nul', { stringValue: 'a\0b' }],
      ['half', { stringValue: '\ud800' }],
      ['long', { stringValue: 'é'.repeat(1_000) }],
      [
        'deep',
        {
          arrayValue: {
            values: [{ kvlistValue: { values: [{ key: 'k', value: { intValue: '9007199254740993' } }] } }],
          },
        },
      ],
      ['wide', { arrayValue: { values: Array.from({ length: 500 }, () => ({ boolValue: true })) } }],
      ['one too many', { intValue: '1' }],
    ].map(([key, value]) => ({ key, value }));
    const body = exportJson({ 'service.name': 'c\0art' }, [{ endMs: nowMs }]);
    Object.assign((body.resourceSpans[0] as { scopeSpans: { spans: object[] }[] }).scopeSpans[0]?.spans[0] as object, {
      attributes,
    });
    expect((await send(bench, JSON.stringify(body))).status).toBe(200);
    const [row] = await bench.rows('SELECT service, attributes, json_valid(attributes) AS sound FROM spans');
    const kept = JSON.parse(String(row?.['attributes'])) as Record<string, unknown>;
    expect(row).toMatchObject({ service: 'c\uFFFDart', sound: true });
    expect(Object.keys(kept)).toEqual(['__proto__', 'nul', 'half', 'long', 'deep', 'wide']);
    expect(kept['nul']).toBe('a\uFFFDb');
    expect(kept['half']).toBe('\uFFFD');
    expect(kept['long']).toBe('é'.repeat(32));
    expect(kept['deep']).toEqual([{ k: '9007199254740993' }]);
    expect(String(kept['wide'])).toHaveLength(64);
  });
});

describe('overload and a failing disk', () => {
  it('over the byte budget: 429 and RESOURCE_EXHAUSTED with a hint, nothing acknowledged; afterwards all is well', async () => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const beforeCommit = async () => {
      reached.resolve();
      await gate.promise;
    };
    await using bench = await startIngest({ limits: { max_body: '2KiB', max_in_flight: '2KiB' }, beforeCommit });
    const body = traces({ endMs: Date.now(), attributes: { pad: 'x'.repeat(1_200) } });
    const first = send(bench, body);
    await reached.promise;
    const second = await send(bench, body);
    expect(second.status).toBe(429);
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(JSON.stringify(await second.json())).toContain('google.rpc.RetryInfo');
    const { error } = await callGrpc(bench, randomBytes(1_500));
    expect(error?.code).toBe(8);
    expect(error?.metadata.get('grpc-status-details-bin')[0]?.toString()).toContain('google.rpc.RetryInfo');
    gate.resolve();
    expect((await first).status).toBe(200);
    expect(bench.intake.budget.used).toBe(0);
    expect((await send(bench, traces({ endMs: Date.now() }))).status).toBe(200);
  });

  it('a commit that fails is not acknowledged, is retryable, and the next one works', async () => {
    let failures = 1;
    const beforeCommit = async () => {
      if (failures-- > 0) throw new Error('EIO');
    };
    await using bench = await startIngest({ beforeCommit });
    const body = traces({ endMs: Date.now() });
    const refused = await send(bench, body);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('2');
    expect(await refused.text()).not.toContain('EIO');
    expect((await send(bench, body)).status).toBe(200);
    expect(await count(bench)).toBe(1);
  });

  it('refuses while the disk is nearly full, and recovers alone', async () => {
    let free = 1_000;
    await using bench = await startIngest({ limits: { min_free_disk: '1MiB' }, freeBytes: async () => free });
    const body = traces({ endMs: Date.now() });
    const refused = await send(bench, body);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 14, message: expect.stringContaining('bytes are free') });
    const { error } = await callGrpc(bench, Buffer.alloc(0));
    expect(error?.code).toBe(14);
    free = 10_000_000;
    expect((await send(bench, body)).status).toBe(200);
    expect(await count(bench)).toBe(1);
  });
});

describe('metrics and logs', () => {
  it('are kept as they came, and acknowledged only then', async () => {
    await using bench = await startIngest({ clock: clock() });
    const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'cart' } }] };
    const timeUnixNano = String(BigInt(nowMs) * 1_000_000n);
    const point = { timeUnixNano, asInt: '9007199254740993', attributes: [] };
    const metricsBody = {
      resourceMetrics: [
        {
          resource,
          scopeMetrics: [
            {
              metrics: [
                {
                  name: 'orders',
                  unit: '1',
                  sum: { dataPoints: [point, point], aggregationTemporality: 2, isMonotonic: true },
                },
                { name: '' },
              ],
            },
          ],
        },
      ],
    };
    const told = await (await send(bench, JSON.stringify(metricsBody), json, '/v1/metrics')).json();
    expect(told).toMatchObject({
      partialSuccess: { rejectedDataPoints: 1, errorMessage: expect.stringContaining('name') },
    });
    const record = {
      timeUnixNano,
      severityNumber: 17,
      body: { stringValue: 'it broke' },
      traceId: 'ab'.repeat(16),
      attributes: [{ key: 'n', value: { intValue: '3' } }],
    };
    const logsBody = {
      resourceLogs: [
        {
          resource,
          scopeLogs: [
            {
              logRecords: [record, { severityNumber: 'SEVERITY_NUMBER_WARN2', body: { kvlistValue: { values: [] } } }],
            },
          ],
        },
      ],
    };
    expect(
      (await send(bench, gzipSync(JSON.stringify(logsBody)), { ...json, 'content-encoding': 'gzip' }, '/v1/logs'))
        .status,
    ).toBe(200);

    const [metric] = await bench.rows(
      'SELECT name, type, unit, points, service, payload, epoch_ms(time)::VARCHAR AS at FROM metrics',
    );
    expect(metric).toMatchObject({ name: 'orders', type: 'sum', points: 2, service: 'cart', at: String(nowMs) });
    expect(JSON.parse(String(metric?.['payload'])).dataPoints[0].asInt).toBe('9007199254740993');
    expect(await bench.rows('SELECT severity, body, trace_id, attributes FROM logs ORDER BY seq')).toEqual([
      { severity: 'ERROR', body: 'it broke', trace_id: 'ab'.repeat(16), attributes: '{"n":3}' },
      { severity: 'WARN2', body: '{}', trace_id: '', attributes: '{}' },
    ]);
  });
});

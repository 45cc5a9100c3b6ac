import { fileURLToPath } from 'node:url';
import { loadSync, type MessageTypeDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import {
  exportLogsRequest,
  exportMetricsRequest,
  exportTraceRequest,
  type Field,
  type MessageTable,
} from './otlp-tables.js';
import { maxProtobufDepth, readMessage, type WireMessage } from './protobuf-reader.js';

const root = fileURLToPath(new URL('../../../../proto', import.meta.url));
const signals = { trace: exportTraceRequest, metrics: exportMetricsRequest, logs: exportLogsRequest };
const definitions = loadSync(
  Object.keys(signals).map((signal) => `opentelemetry/proto/collector/${signal}/v1/${signal}_service.proto`),
  { includeDirs: [root], longs: String, enums: Number, bytes: Buffer, keepCase: false },
);

function requestOf(signal: string): MessageTypeDefinition<object, object> {
  const word = signal.charAt(0).toUpperCase() + signal.slice(1);
  return definitions[`opentelemetry.proto.collector.${signal}.v1.Export${word}ServiceRequest`] as never;
}

interface DescriptorField {
  name: string;
  number: number;
  label: string;
  type: string;
  typeName: string;
}

interface Descriptor {
  name: string;
  field?: DescriptorField[];
  nestedType?: Descriptor[];
}

/** Every message type of the .proto files by full name. */
const descriptors = new Map<string, DescriptorField[]>();
for (const [name, definition] of Object.entries(definitions)) {
  if ('fileDescriptorProtos' in definition && 'type' in definition)
    register(name, definition.type as unknown as Descriptor);
}

function register(name: string, descriptor: Descriptor): void {
  descriptors.set(name, descriptor.field ?? []);
  for (const nested of descriptor.nestedType ?? []) register(`${name}.${nested.name}`, nested);
}

/** One line per field, the same words for the tables and for the .proto files. */
function tableLines(table: MessageTable, typeName: string, lines = new Map<string, string[]>()): Map<string, string[]> {
  if (lines.has(typeName)) return lines;
  const own: string[] = [];
  lines.set(typeName, own);
  for (const field of descriptors.get(typeName) ?? []) {
    const ours: Field | undefined = table.get(field.number);
    if (ours === undefined) continue;
    const scalar = typeof ours.type === 'string' ? (ours.type === 'id' ? 'bytes' : ours.type) : 'message';
    own.push(`${field.number} ${ours.name.toLowerCase()} ${scalar}${ours.repeated ? ' repeated' : ''}`);
    if (typeof ours.type !== 'string') tableLines(ours.type, resolve(field.typeName, typeName), lines);
  }
  return lines;
}

function protoLines(typeName: string): string[] {
  return (
    (descriptors.get(typeName) ?? [])
      // Entity references say nothing we keep.
      .filter((field) => !(typeName.endsWith('.Resource') && field.name.startsWith('entity')))
      .map((field) => {
        const name = field.name.replaceAll('_', '').toLowerCase();
        const type = field.type.replace('TYPE_', '').toLowerCase();
        return `${field.number} ${name} ${type}${field.label === 'LABEL_REPEATED' ? ' repeated' : ''}`;
      })
  );
}

function resolve(name: string, from: string): string {
  const plain = name.replace(/^\./, '');
  for (let scope = from; scope !== ''; scope = scope.slice(0, Math.max(0, scope.lastIndexOf('.')))) {
    if (descriptors.has(`${scope}.${plain}`)) return `${scope}.${plain}`;
  }
  return plain;
}

const anyValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ stringValue: fc.string({ unit: 'binary' }) }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) }),
    fc.record({ doubleValue: fc.double() }),
    fc.record({ bytesValue: fc.uint8Array().map((bytes) => Buffer.from(bytes)) }),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('value'), { maxLength: 3 }) }) }),
    fc.record({
      kvlistValue: fc.record({
        values: fc.array(fc.record({ key: fc.string(), value: tie('value') }), { maxLength: 3 }),
      }),
    }),
  ),
})).value;
const keyValue = fc.record({ key: fc.string(), value: anyValue });
const bytes = (length: number) => fc.uint8Array({ minLength: 0, maxLength: length }).map((one) => Buffer.from(one));
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);

const traces = fc.record({
  resourceSpans: fc.array(
    fc.record({
      resource: fc.record({ attributes: fc.array(keyValue, { maxLength: 3 }) }),
      scopeSpans: fc.array(
        fc.record({
          spans: fc.array(
            fc.record({
              traceId: bytes(17),
              spanId: bytes(9),
              parentSpanId: bytes(8),
              name: fc.string({ unit: 'binary' }),
              kind: fc.integer({ min: -5, max: 2 ** 31 - 1 }),
              startTimeUnixNano: uint64,
              endTimeUnixNano: uint64,
              attributes: fc.array(keyValue, { maxLength: 4 }),
              droppedAttributesCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
              events: fc.array(fc.record({ timeUnixNano: uint64, name: fc.string() }), { maxLength: 2 }),
              status: fc.record({ message: fc.string(), code: fc.integer({ min: 0, max: 2 }) }),
              flags: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
            }),
            { maxLength: 3 },
          ),
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
});

const metrics = fc.record({
  resourceMetrics: fc.array(
    fc.record({
      scopeMetrics: fc.array(
        fc.record({
          metrics: fc.array(
            fc.record({
              name: fc.string(),
              exponentialHistogram: fc.record({
                aggregationTemporality: fc.integer({ min: 0, max: 2 }),
                dataPoints: fc.array(
                  fc.record({
                    count: uint64,
                    scale: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
                    sum: fc.double(),
                    positive: fc.record({
                      offset: fc.integer({ min: -100, max: 100 }),
                      bucketCounts: fc.array(uint64, { maxLength: 4 }),
                    }),
                    exemplars: fc.array(fc.record({ asInt: fc.bigInt({ min: -9n, max: 9n }).map(String) }), {
                      maxLength: 2,
                    }),
                  }),
                  { maxLength: 2 },
                ),
              }),
            }),
            { maxLength: 2 },
          ),
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
});

/** protobufjs' reading of a message in our shape: ids as hex, other bytes as base64, no empty lists, zeros left out. */
function plain(value: unknown, key = ''): unknown {
  if (Buffer.isBuffer(value)) return value.toString(key.toLowerCase().endsWith('id') ? 'hex' : 'base64');
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map((one) => plain(one, key));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([name]) => !['oneofs', 'value_', 'data_'].includes(name))
    .map(([name, one]) => [name, plain(one, name)] as const)
    .filter(([, one]) => !isDefault(one));
  return Object.fromEntries(entries);
}

function isDefault(value: unknown): boolean {
  return (
    value === undefined ||
    value === '' ||
    value === 0 ||
    value === '0' ||
    value === false ||
    (Array.isArray(value) && value.length === 0)
  );
}

describe('the tables', () => {
  it.each(Object.entries(signals))('say the same as the .proto files: %s', (signal, table) => {
    const word = signal.charAt(0).toUpperCase() + signal.slice(1);
    const lines = tableLines(table, `opentelemetry.proto.collector.${signal}.v1.Export${word}ServiceRequest`);
    expect(lines.size).toBeGreaterThan(8);
    expect(Object.fromEntries(lines)).toEqual(
      Object.fromEntries([...lines.keys()].map((name) => [name, protoLines(name)])),
    );
  });
});

describe('readMessage', () => {
  it.each([
    ['trace', traces],
    ['metrics', metrics],
  ] as const)('reads what protobufjs writes, as protobufjs reads it: %s', (signal, arbitrary) => {
    const type = requestOf(signal);
    const word = signal.charAt(0).toUpperCase() + signal.slice(1);
    const service = definitions[`opentelemetry.proto.collector.${signal}.v1.${word}Service`] as ServiceDefinition;
    const { requestSerialize, requestDeserialize } = service['Export'] as (typeof service)[string];
    expect(type).toBeDefined();
    fc.assert(
      fc.property(arbitrary as fc.Arbitrary<object>, (message) => {
        const encoded = requestSerialize(message);
        expect(plain(readMessage(encoded, signals[signal]))).toEqual(plain(requestDeserialize(encoded)));
      }),
      { numRuns: 200 },
    );
  });

  it('ends on any bytes at all: with a message or with malformed_body, never otherwise', () => {
    const service = definitions['opentelemetry.proto.collector.trace.v1.TraceService'] as ServiceDefinition;
    const { requestSerialize } = service['Export'] as (typeof service)[string];
    const broken = fc
      .tuple(traces, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }), fc.nat())
      .map(([message, flips, cut]) => {
        const encoded = Buffer.from(requestSerialize(message));
        for (const [at, byte] of flips) if (encoded.length > 0) encoded[at % encoded.length] = byte;
        return cut % 2 === 0 ? encoded : encoded.subarray(0, cut % (encoded.length + 1));
      });
    fc.assert(
      fc.property(fc.oneof(broken, fc.uint8Array({ maxLength: 200 })), (bytesSent) => {
        expect([undefined, 'malformed_body']).toContain(outcome(bytesSent));
      }),
      { numRuns: 1_000 },
    );
  });

  it('refuses values nested without end', () => {
    let nested = Buffer.from([]);
    for (let depth = 0; depth < 200; depth++) {
      const inner = Buffer.concat([Buffer.from([10]), lengthOf(nested), nested]);
      nested = Buffer.concat([Buffer.from([42]), lengthOf(inner), inner]);
    }
    const keyed = Buffer.concat([Buffer.from([18]), lengthOf(nested), nested]);
    const wrap = (bytesInside: Buffer, tag: number) =>
      Buffer.concat([Buffer.from([tag]), lengthOf(bytesInside), bytesInside]);
    const request = wrap(wrap(wrap(keyed, 10), 10), 10);
    expect(() => readMessage(request, exportTraceRequest)).toThrow(`nested deeper than ${maxProtobufDepth}`);
  });

  it('refuses a field that is longer than the message that holds it, though the bytes are there', () => {
    const table: MessageTable = new Map([
      [1, { name: 'inner', type: new Map([[1, { name: 'text', type: 'string', repeated: false }]]), repeated: false }],
    ]);
    // inner has 3 bytes, its text claims 5; what follows belongs to somebody else.
    expect(() => readMessage(Buffer.from([10, 3, 10, 5, 97, 98, 99, 100, 101]), table)).toThrow(
      'longer than the message',
    );
  });

  it('takes packed and unpacked lists alike', () => {
    const table: MessageTable = new Map([[1, { name: 'n', type: 'uint64', repeated: true }]]);
    const unpacked: WireMessage = readMessage(Buffer.from([8, 1, 8, 2]), table);
    expect(unpacked).toEqual(readMessage(Buffer.from([10, 2, 1, 2]), table));
  });
});

/** The reason of the refusal; an error that is none of ours shows as itself. */
function outcome(bytesSent: Uint8Array): unknown {
  try {
    readMessage(bytesSent, exportTraceRequest);
    return undefined;
  } catch (thrown) {
    return thrown instanceof CoralError ? thrown.reason : thrown;
  }
}

function lengthOf(bytesInside: Buffer): Buffer {
  const out: number[] = [];
  let left = bytesInside.length;
  while (left > 127) {
    out.push((left & 127) | 128);
    left >>>= 7;
  }
  return Buffer.from([...out, left]);
}

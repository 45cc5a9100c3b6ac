import { malformedBody } from './ingest.errors.js';
import type { Field, MessageTable, ScalarType } from './otlp-tables.js';

/** A decoded message in the shape of OTLP/JSON, but 64-bit integers are bigint and enums numbers. */
export type WireMessage = { [name: string]: WireValue };
export type WireValue = string | number | bigint | boolean | WireMessage | WireValue[];

/** Deepest nesting of messages; OTLP itself needs 8, the rest is for nested attribute values. */
export const maxProtobufDepth = 64;

const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const wireTypeOf: Record<ScalarType, number> = {
  string: wireTypes.bytes,
  id: wireTypes.bytes,
  bytes: wireTypes.bytes,
  bool: wireTypes.varint,
  int32: wireTypes.varint,
  uint32: wireTypes.varint,
  sint32: wireTypes.varint,
  enum: wireTypes.varint,
  int64: wireTypes.varint,
  uint64: wireTypes.varint,
  fixed32: wireTypes.fixed32,
  fixed64: wireTypes.fixed64,
  sfixed64: wireTypes.fixed64,
  double: wireTypes.fixed64,
};

/** Decodes one message (protobuf.dev/programming-guides/encoding). Throws CoralError `malformed_body`, never reads past the end. */
export function readMessage(bytes: Uint8Array, table: MessageTable): WireMessage {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Reader(buffer).message(table, buffer.length, 0);
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  message(table: MessageTable, end: number, depth: number): WireMessage {
    if (depth > maxProtobufDepth) throw malformedBody(`messages are nested deeper than ${maxProtobufDepth}`);
    const into: WireMessage = {};
    while (this.#at < end) {
      const tag = this.#varint(end);
      const field = table.get(tag >>> 3);
      if (tag >>> 3 === 0) throw malformedBody(`byte ${this.#at}: field number 0`);
      if (field === undefined) this.#skip(tag & 7, end);
      else this.#field(into, field, tag & 7, end, depth);
    }
    return into;
  }

  #field(into: WireMessage, field: Field, wireType: number, end: number, depth: number): void {
    const { name, type } = field;
    if (typeof type !== 'string') {
      if (wireType !== wireTypes.bytes) throw malformedBody(`byte ${this.#at}: ${name} has wire type ${wireType}`);
      const until = this.#length(end);
      this.#put(into, field, this.message(type, until, depth + 1));
      return;
    }
    const expected = wireTypeOf[type];
    if (wireType === expected) {
      this.#put(into, field, this.#scalar(type, end));
    } else if (wireType === wireTypes.bytes && field.repeated) {
      const until = this.#length(end);
      while (this.#at < until) this.#put(into, field, this.#scalar(type, until));
    } else {
      throw malformedBody(`byte ${this.#at}: ${name} has wire type ${wireType}`);
    }
  }

  #put(into: WireMessage, field: Field, value: WireValue): void {
    if (!field.repeated) {
      into[field.name] = value;
      return;
    }
    const list = into[field.name];
    if (Array.isArray(list)) list.push(value);
    else into[field.name] = [value];
  }

  #scalar(type: ScalarType, end: number): WireValue {
    switch (type) {
      case 'string':
        return this.#text('utf8', end);
      case 'id':
        return this.#text('hex', end);
      case 'bytes':
        return this.#text('base64', end);
      case 'bool':
        return this.#varint64(end) !== 0n;
      case 'uint32':
        return this.#varint(end);
      case 'int32':
      case 'enum':
        return this.#varint(end) | 0;
      case 'sint32': {
        const raw = this.#varint(end);
        return (raw >>> 1) ^ -(raw & 1);
      }
      case 'int64':
        return BigInt.asIntN(64, this.#varint64(end));
      case 'uint64':
        return this.#varint64(end);
      case 'fixed32':
        return this.#buffer.readUInt32LE(this.#step(4, end));
      case 'fixed64':
        return this.#buffer.readBigUInt64LE(this.#step(8, end));
      case 'sfixed64':
        return this.#buffer.readBigInt64LE(this.#step(8, end));
      case 'double':
        return this.#buffer.readDoubleLE(this.#step(8, end));
    }
  }

  #text(encoding: 'utf8' | 'hex' | 'base64', end: number): string {
    const until = this.#length(end);
    const from = this.#at;
    this.#at = until;
    return this.#buffer.toString(encoding, from, until);
  }

  /** Reads a length and returns where that many bytes end. */
  #length(end: number): number {
    const until = this.#varint(end) + this.#at;
    if (until > end) throw malformedBody(`byte ${this.#at}: a field is longer than the message that holds it`);
    return until;
  }

  #step(bytes: number, end: number): number {
    const from = this.#at;
    if (from + bytes > end) throw malformedBody(`byte ${from}: the message ends inside a number`);
    this.#at = from + bytes;
    return from;
  }

  /** The low 32 bits of a varint, unsigned. Negative int32 and enums come as ten bytes; the rest is dropped, as protobuf asks. */
  #varint(end: number): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#buffer[this.#step(1, end)] as number;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw malformedBody(`byte ${this.#at}: a number of more than ten bytes`);
  }

  #varint64(end: number): bigint {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#buffer[this.#step(1, end)] as number;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) return high === 0 ? BigInt(low >>> 0) : (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    }
    throw malformedBody(`byte ${this.#at}: a number of more than ten bytes`);
  }

  #skip(wireType: number, end: number): void {
    if (wireType === wireTypes.varint) this.#varint(end);
    else if (wireType === wireTypes.fixed64) this.#step(8, end);
    else if (wireType === wireTypes.fixed32) this.#step(4, end);
    else if (wireType === wireTypes.bytes) this.#at = this.#length(end);
    else throw malformedBody(`byte ${this.#at}: wire type ${wireType} is not used by proto3`);
  }
}

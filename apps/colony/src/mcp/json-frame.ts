/** Largest JSON-RPC request taken, bytes. Arguments of our tools are capped far below. */
export const maxFrameBytes = 256 * 1024;
/** Deeper nesting is in no request we know, and is where recursive readers break. */
export const maxFrameDepth = 64;

export type FrameProblem = 'too_large' | 'not_json' | 'too_deep' | 'not_an_object';

export type Frame = { message: Record<string, unknown>; problem?: undefined } | { problem: FrameProblem };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads one JSON-RPC message, or says what is wrong with the bytes. */
export function readFrame(bytes: Uint8Array): Frame {
  if (bytes.length > maxFrameBytes) return { problem: 'too_large' };
  if (!hasFewBrackets(bytes) && depthOf(bytes) > maxFrameDepth) return { problem: 'too_deep' };
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    return { problem: 'not_json' };
  }
  // A batch is an array: JSON-RPC has them, MCP has not since 2025-06-18.
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { problem: 'not_an_object' };
  return { message: value as Record<string, unknown> };
}

const quote = 0x22;
const backslash = 0x5c;
/** `[` and `{` differ in this bit alone, and so do `]` and `}`. */
const curly = 0x20;
const opener = 0x7b;
const closer = 0x7d;

/** What opens so few brackets, in strings or not, cannot be nested deeper; nearly every message is one. */
function hasFewBrackets(bytes: Uint8Array): boolean {
  let opened = 0;
  for (const bracket of [opener, opener & ~curly]) {
    for (let at = bytes.indexOf(bracket); at >= 0; at = bytes.indexOf(bracket, at + 1)) {
      opened += 1;
      if (opened > maxFrameDepth) return false;
    }
  }
  return true;
}

/** Nesting of brackets outside strings, without building anything. Right for valid JSON, harmless for the rest. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] as number;
    if (inString) {
      if (byte === backslash) i += 1;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if ((byte | curly) === opener) deepest = Math.max(deepest, (depth += 1));
    else if ((byte | curly) === closer) depth -= 1;
  }
  return deepest;
}

import { asCount, asObject, asText, parseObject, toToolCall, type CallIds, type Json } from './openai-wire.js';
import type { ToolCall } from './provider.js';

interface Slot {
  id: string;
  name: string;
  /** Text so far, or the object itself from servers that send that. */
  args: string | Json;
}

/**
 * Puts the calls of a streamed chat reply together. OpenAI sends a call in pieces that share an `index`; others send it at
 * once, without `index`, every one as index 0, without `id`, with an empty one, or repeat `id` and name in every piece.
 */
export class ChatCalls {
  private readonly slots: Slot[] = [];
  private readonly byIndex = new Map<number, Slot>();

  get size(): number {
    return this.slots.length;
  }

  add(delta: Json): void {
    const fn = asObject(delta['function']) ?? {};
    const piece = { id: asText(delta['id']), name: asText(fn['name']), args: fn['arguments'] };
    const slot = this.slotOf(asCount(delta['index']), piece);
    if (slot.id === '') slot.id = piece.id;
    if (piece.name !== slot.name) slot.name += piece.name;
    const object = asObject(piece.args);
    if (object !== undefined) slot.args = object;
    else if (typeof slot.args === 'string') slot.args += asText(piece.args);
  }

  all(ids: CallIds): ToolCall[] {
    return this.slots.map((slot) => toToolCall(ids.take(slot.id), slot.name, slot.args));
  }

  private slotOf(index: number | undefined, piece: { id: string; name: string; args: unknown }): Slot {
    const open = index === undefined ? this.slots.at(-1) : this.byIndex.get(index);
    if (open !== undefined && !startsAnother(open, piece)) return open;
    const slot: Slot = { id: '', name: '', args: '' };
    this.slots.push(slot);
    if (index !== undefined) this.byIndex.set(index, slot);
    return slot;
  }
}

/** True when what looks like a piece of an open call is a new one. */
function startsAnother(open: Slot, { id, name, args }: { id: string; name: string; args: unknown }): boolean {
  if (name === '') return false;
  if (id !== '' && open.id !== '') return id !== open.id;
  const hasArgs = asObject(args) !== undefined || asText(args) !== '';
  const isWhole = typeof open.args !== 'string' || parseObject(open.args) !== undefined;
  return hasArgs && isWhole;
}

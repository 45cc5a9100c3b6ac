import { randomUUID } from 'node:crypto';
import { isJSONRPCRequest, isJSONRPCResponse, type Transport } from '@modelcontextprotocol/server';

interface Asked {
  id: string | number;
  by: Transport;
}

/**
 * Clients of 2025 answer what a server asks them with a POST of its own, and a server without sessions makes a new
 * `Server` for each POST. This brings the two together, by ids nobody can guess. The colony never asks its client
 * anything and has no use for it; four scenarios do.
 */
export class BackChannel {
  readonly #asked = new Map<string | number, Asked>();

  /** Of a server that is connected already. */
  joinedBy(transport: Transport): void {
    this.#rememberWhatIsAsked(transport);
    this.#passOnAnswers(transport);
  }

  #rememberWhatIsAsked(transport: Transport): void {
    const send = transport.send.bind(transport);
    transport.send = async (message, options) => {
      if (!isJSONRPCRequest(message)) return await send(message, options);
      const id = randomUUID();
      this.#asked.set(id, { id: message.id, by: transport });
      return await send({ ...message, id }, options);
    };
  }

  #passOnAnswers(transport: Transport): void {
    const take = transport.onmessage;
    transport.onmessage = (message, extra) => {
      const asked = isJSONRPCResponse(message) && message.id !== undefined ? this.#asked.get(message.id) : undefined;
      if (asked === undefined) return take?.(message, extra);
      this.#asked.delete((message as { id: string }).id);
      asked.by.onmessage?.({ ...message, id: asked.id }, extra);
    };
  }
}

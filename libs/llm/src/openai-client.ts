import { ReadableStream } from 'node:stream/web';
import OpenAI from 'openai';
import { providerFetch } from './provider-http.js';

/** The SDK wants a key; the real one is set where the request leaves. */
const placeholder = 'set-by-coral';

/** Longer than any answer: silence is the loop's to judge. */
const timeoutMs = 3_600_000;

/** One request's client: what it sends, and whether the server's answer came to its end. */
export interface Connection {
  client: OpenAI;
  /** The body was read to its end. */
  isOver: () => boolean;
}

export interface ConnectOptions {
  endpoint: URL;
  key: string | undefined;
  /** Ends the request. */
  signal: AbortSignal;
}

/**
 * The official SDK with everything said, so that no `OPENAI_…` variable decides where questions go, under whose account or
 * what is logged. It tries once.
 */
export function connect({ endpoint, key, signal }: ConnectOptions): Connection {
  let over = false;
  const send = providerFetch({
    provider: 'openai',
    endpoint,
    headers: () => ({
      // Said too: OPENAI_CUSTOM_HEADERS would otherwise have a word in them.
      accept: 'text/event-stream',
      'content-type': 'application/json',
      'user-agent': 'coral',
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    }),
  });
  const client = new OpenAI({
    baseURL: endpoint.href.replace(/\/+$/, ''),
    apiKey: placeholder,
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    maxRetries: 0,
    timeout: timeoutMs,
    logLevel: 'off',
    fetch: async (input, init) => {
      // Not the SDK's own signal: it aborts whatever it has not read to the last byte, which costs the connection.
      const response = await send(input, { ...init, signal });
      if (!response.ok || response.body === null) return response;
      const body = watched(response.body, () => {
        over = true;
      });
      return new Response(ReadableStream.from(body), response);
    },
  });
  return { client, isOver: () => over };
}

/** Pulled piece by piece: `end` is called when all before it was taken. */
async function* watched(body: AsyncIterable<Uint8Array>, end: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) yield chunk;
  end();
}

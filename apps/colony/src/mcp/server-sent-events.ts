// Read first: the HTML standard, "Server-sent events". Only what our own SDK writes has to be read: line feeds, no retry, no ids.

/** The `data:` of each event; comments keep HTTP connections alive and mean nothing here. */
export async function* dataIn(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  for await (const event of eventsIn(body)) {
    const data = dataOf(event);
    if (data !== '') yield data;
  }
}

/** Whole events, each with the empty line behind it. */
export async function* eventsIn(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const events = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) yield `${event}\n\n`;
  }
}

/** The data of one event; empty for a comment. */
export function dataOf(event: string): string {
  const lines = event.split('\n').filter((line) => line.startsWith('data:'));
  return lines.map((line) => line.slice('data:'.length).trimStart()).join('\n');
}

/** `first`, which was taken to look at it, and the rest; whoever stops in the middle stops both. */
export async function* startingWith(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

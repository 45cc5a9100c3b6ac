/**
 * The data of each event of a `text/event-stream`, as it comes (WHATWG HTML, "Server-sent events"). Left out: comments, events
 * without data (servers of 2025 open a stream with one), and one that the end of the stream cuts off. `maxBytes` bounds one
 * event.
 */
export async function* eventsOf(body: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let data: string[] = [];
  let size = 0;
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    // A carriage return at the end may be half of a line's end.
    const lines = rest.split(/\r\n|\n|\r(?=[^])/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        const text = data.join('\n');
        if (text !== '') yield text;
        data = [];
        size = 0;
      } else if (line === 'data' || line.startsWith('data:')) {
        const value = line.slice('data:'.length);
        data.push(value.startsWith(' ') ? value.slice(1) : value);
        size += line.length;
        if (size > maxBytes) throw new EventTooLarge(maxBytes);
      }
    }
    if (size + rest.length > maxBytes) throw new EventTooLarge(maxBytes);
  }
}

export class EventTooLarge extends Error {
  constructor(maxBytes: number) {
    super(`an event is larger than ${maxBytes} bytes`);
    this.name = 'EventTooLarge';
  }
}

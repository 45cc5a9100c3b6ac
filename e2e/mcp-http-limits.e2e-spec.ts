import { execFile } from 'node:child_process';
import { hostname } from 'node:os';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commonHeaders, modernHeaders, type HttpAnswer, type HttpEntrance } from './support/http-entrance.js';
import { SpyAgent } from './support/spy-agent.js';
import { jsonRpc, policyText, toolCall } from './support/start-colony.js';
import { TwoDoors, type Caller } from './support/two-doors.js';
import { until } from './support/until.js';

type Json = Record<string, unknown>;

const eras = ['modern', 'legacy'] as const;
const maxResponseBytes = 8_192;
const sql = (query: string): Json => toolCall('coral_query', { query });
const numbers = `WITH n AS (SELECT unnest([${Array.from({ length: 100 }, (_, n) => n).join(', ')}]) AS x)`;

describe('what HTTP cannot do to a colony', () => {
  let doors: TwoDoors;
  let alex: Caller;

  beforeAll(async () => {
    doors = await TwoDoors.start({
      policy: policyText.replace('read:health]', 'read:health, read:live_data]'),
      config: {
        mcp_server: { data_filtering: { max_response_size: `${maxResponseBytes}B` } },
        tools: { deadline: '20s' },
        ephemeral_agents: { max_public_per_user: 20 },
      },
    });
    alex = await doors.caller('alex', 900);
  });

  afterAll(async () => {
    await alex[Symbol.asyncDispose]();
    await doors.colony.mustVerify();
    await doors[Symbol.asyncDispose]();
  });

  it('item 17: text that plays tricks on a terminal or a model arrives in visible characters', async () => {
    const tricks = [
      '\u001b[31mred',
      '\u202eexe.gnp',
      'zero\u200bwidth',
      'a\u{e0041}tag',
      'bell\u0007',
      'one\rtwo',
      '\u009b2J',
    ];
    for (const door of alex.doors) {
      for (const era of eras) {
        for (const trick of tricks) {
          const answers = [
            await door[era](sql(`SELECT '${trick}' AS "${trick}x"`)),
            await door[era](toolCall('coral_get_health', { [trick]: trick })),
          ];
          for (const { status, messages } of answers) {
            expect(status).toBe(200);
            // What JSON escapes on the way is what a client prints in the end.
            const told = textsIn(messages[0]).join('\n');
            expect(told).toMatch(/[\u2400-\u2421]|⟨U\+/);
            // oxlint-disable-next-line no-control-regex
            expect(told).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u202e\u{e0041}]/u);
          }
        }
      }
    }
  });

  it('item 20: an answer that is too large is cut, and says so', async () => {
    for (const door of alex.doors) {
      for (const era of eras) {
        const answer = await door[era](
          sql(`${numbers} SELECT a.x + 123456789 AS a, b.x + 123456789 AS b FROM n a, n b`),
        );
        const result = (answer.messages[0] as { result: { structuredContent: Json; content: { text: string }[] } })
          .result;
        expect(result.structuredContent).toMatchObject({ truncation: { truncated: true } });
        expect(Buffer.byteLength(result.content[0]?.text ?? '')).toBeLessThanOrEqual(maxResponseBytes);
        // The protocol wants it twice: once as text, whose quotes are escaped, once as data.
        expect(Buffer.byteLength(answer.text)).toBeLessThan(4 * maxResponseBytes);
      }
    }
  });

  describe('item 29: size, depth and patterns', () => {
    it('of a message are limited, before it is parsed', async () => {
      const large = JSON.stringify(sql('x'.repeat(5 * 1_024 * 1_024)));
      const deep = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
      for (const door of alex.doors) {
        const refused: [string, () => Promise<HttpAnswer>, number, string][] = [
          ['5 MiB', () => door.send({ headers: commonHeaders(door), body: large }), 413, 'malformed_too_large'],
          ['5 MiB in chunks', () => sendChunked(door, large), 413, 'malformed_too_large'],
          ['10,000 levels', () => door.send({ headers: commonHeaders(door), body: deep }), 400, 'malformed_too_deep'],
          [
            'a batch',
            () => door.send({ headers: commonHeaders(door), body: [jsonRpc('tools/list')] }),
            400,
            'malformed_not_an_object',
          ],
          [
            'bad UTF-8',
            () => door.send({ headers: commonHeaders(door), body: Buffer.from([0x7b, 0xff, 0x7d]) }),
            400,
            'malformed_not_json',
          ],
        ];
        for (const [name, send, status, reason] of refused) {
          let answer: HttpAnswer | undefined;
          const started = performance.now();
          const rows = await doors.rowsDuring(async () => (answer = await send()));
          expect([name, answer?.status]).toEqual([name, status]);
          expect(answer?.messages).toMatchObject([{ jsonrpc: '2.0', error: { code: expect.any(Number) } }]);
          expect([name, rows.map(({ payload }) => payload['error_reason'])]).toEqual([name, [reason]]);
          expect(performance.now() - started).toBeLessThan(2_000);
        }
        const head = `POST /mcp HTTP/1.1\r\nhost: ${door.host}\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`;
        expect(await door.raw(head)).toMatch(/^HTTP\/1\.1 431 /);
      }
    });

    it('make no argument expensive', async () => {
      const catastrophes: [string, Json][] = [
        ['coral_get_health', { service_filter: '*a'.repeat(128) }],
        ['coral_get_health', { service_filter: `(${'a+'.repeat(100)})+$` }],
        ['coral_query_events', { service: '%_'.repeat(128) }],
        ['coral_query_events', { time_range: '1'.repeat(32) }],
        ['coral_query', { query: 'latency by '.repeat(2_900) }],
        ['coral_query', { query: `SELECT ${'('.repeat(15_000)}` }],
        ['coral_query', { query: `errors by service, last ${'9'.repeat(30_000)}h` }],
      ];
      for (const [tool, args] of catastrophes) {
        const started = performance.now();
        expect((await alex.public.modern(toolCall(tool, args))).status).toBe(200);
        expect([tool, performance.now() - started < 5_000]).toEqual([tool, true]);
      }
    });

    it('do not help who sends slowly: others are served, and the sender is sent away', async () => {
      const started = performance.now();
      const halfHead = (door: HttpEntrance) => door.raw('POST /mcp HTTP/1.1\r\nho');
      const halfBody = (door: HttpEntrance) =>
        door.raw(`POST /mcp HTTP/1.1\r\nhost: ${door.host}\r\ncontent-length: 100\r\n\r\n{`);
      const before = (await doors.colony.audit()).length;
      const slowly = Promise.all(alex.doors.flatMap((door) => [halfHead(door), halfBody(door)]));
      for (const door of alex.doors) expect((await door.modern(jsonRpc('tools/list'))).status).toBe(200);
      for (const said of await slowly) expect(said === '' || said.startsWith('HTTP/1.1 408 ')).toBe(true);
      expect(performance.now() - started).toBeLessThan(25_000);
      const rows = async () => (await doors.colony.audit()).slice(before);
      await until(async () => (await rows()).length >= 4, 'the rows', 3_000);
      const reasons = (await rows()).map(({ payload }) => payload['error_reason']).toSorted();
      expect(reasons).toEqual(['request_incomplete', 'request_incomplete', 'request_timeout', 'request_timeout']);
    });
  });

  describe('item 38: an error tells nothing of the inside', () => {
    const leaks = (answer: string): string[] => {
      const inside = [
        /\bat .+\.[cm]?[jt]s:\d+/,
        /node:internal/,
        /node_modules/,
        new RegExp(doors.colony.directory),
        /control\.db|\.duckdb|\.jsonl|\/proc\//,
        /\b(INSERT INTO|UPDATE leases|FROM leases|read_json|CREATE TABLE)\b/i,
        /127\.0\.0\.1:\d+|localhost:\d+/,
        new RegExp(`\\b${hostname()}\\b`),
      ];
      // The names of the door are told to whoever uses a wrong one.
      return inside.filter((pattern) => pattern.test(answer)).map(String);
    };

    it('when a tool, an agent or a message fails', async () => {
      const spy = await SpyAgent.join(doors.colony, 'alex');
      await spy[Symbol.asyncDispose]();
      const live = (agent_id: string, sql_query: string) => toolCall('coral_fetch_live', { agent_id, sql_query });
      const faults: [string, Json | Buffer][] = [
        ['an agent that is gone', live(spy.agentId, 'SELECT count(*) FROM spans')],
        ['an agent that never was', live('agt-../../etc/passwd', 'SELECT 1')],
        ['SQL that cannot be parsed', sql('SELECT FROM FROM')],
        ['SQL on files', sql("SELECT * FROM read_csv('/etc/passwd')")],
        ['SQL that fails while it runs', sql("SELECT CAST('x' AS INTEGER)")],
        ['a question nobody understands', toolCall('coral_query', { query: '\u0000'.repeat(50) })],
        ['arguments of a wrong type', toolCall('coral_get_health', { service_filter: { $ne: 1 } })],
        [
          'a prototype',
          Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"__proto__":{"name":"x"}}}'),
        ],
        ['an unknown method', jsonRpc('constructor')],
        ['no JSON', Buffer.from('{')],
      ];
      for (const [name, body] of faults) {
        for (const door of alex.doors) {
          const headers = { ...commonHeaders(door), ...(Buffer.isBuffer(body) ? {} : modernHeaders(body)) };
          const answer = await door.send({ headers, body });
          expect([name, answer.status < 500, leaks(answer.text)]).toEqual([name, true, []]);
          expect(answer.text).toMatch(/error/);
        }
      }
    });

    it('when the disk is full: no answer, no token, and no word about where', async () => {
      const limit = (bytes: string) =>
        promisify(execFile)('prlimit', ['--pid', String(doors.colony.pid), `--fsize=${bytes}:unlimited`]);
      await limit('0');
      try {
        for (const door of alex.doors) {
          for (const era of eras) {
            for (const message of [toolCall('coral_get_health'), toolCall('coral_nothing')]) {
              const answer = await door[era](message);
              expect([answer.status, leaks(answer.text)]).toEqual([503, []]);
              expect(answer.messages).toMatchObject([{ error: { data: { error: { reason: 'audit_unavailable' } } } }]);
            }
          }
          // Not even a refusal without its row.
          expect((await door.with('x').modern(jsonRpc('tools/list'))).status).toBe(503);
          expect((await door.send({ method: 'GET' })).status).toBe(503);
        }
        const { status, text } = await doors.exchange({ subject_token: alex.person.token });
        expect([status, JSON.parse(text), leaks(text)]).toEqual([
          503,
          expect.objectContaining({ error: 'temporarily_unavailable' }),
          [],
        ]);
      } finally {
        await limit('unlimited');
      }
      await until(
        async () => (await alex.public.modern(toolCall('coral_get_health'))).status === 200,
        'recovery',
        10_000,
      );
    });
  });
});

async function sendChunked(door: HttpEntrance, body: string): Promise<HttpAnswer> {
  const piece = Buffer.from(`${(64 * 1_024).toString(16)}\r\n${body.slice(0, 64 * 1_024)}\r\n`);
  const head = Object.entries({ host: door.host, ...commonHeaders(door), 'transfer-encoding': 'chunked' });
  const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const pieces = Array.from({ length: 80 }, () => piece);
  const said = await door.raw(Buffer.concat([Buffer.from(`POST /mcp HTTP/1.1\r\n${lines}\r\n`), ...pieces]));
  const [top = '', text = ''] = said.split('\r\n\r\n');
  return { status: Number(top.split(' ')[1]), headers: {}, text, messages: [JSON.parse(text) as Json] };
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => [key, ...textsIn(member)]);
}

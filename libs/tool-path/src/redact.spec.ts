import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Redactor } from './redact.js';
import { envelope, openStage, serve } from './testing/stage.js';

const redactor = new Redactor(['*.password', '*.api_key', '*.secret']);
const canary = 'c4n4ry-9f2';

/** Names that mean a secret, in the spellings that telemetry has. */
const secretNames = [
  'password',
  'Password',
  'PASSWORD',
  'user.password',
  'db.user.password',
  'db_password',
  'dbPassword',
  'DB-PASSWORD',
  'api_key',
  'apiKey',
  'ApiKey',
  'APIKey',
  'api-key',
  'API_KEY',
  'api.key',
  'apikey',
  'x-api-key',
  'http.request.header.x-api-key',
  'stripeApiKey',
  'secret',
  'client_secret',
  'clientSecret',
  'oauth.client-secret',
  'ｐａｓｓｗｏｒｄ',
];

const plainNames = [
  'passwordless',
  'password_length',
  'passwords_checked',
  'secretary',
  'secret_name',
  'key',
  'api',
  'api_keyboard',
  'monkey',
  'requests',
  'p95_ms',
  'service',
  'compass word',
];

describe('names', () => {
  it.each(secretNames)('%s is a secret', (name) => expect(redactor.isSecret(name)).toBe(true));
  it.each(plainNames)('%s is none', (name) => expect(redactor.isSecret(name)).toBe(false));

  it('are taken from the last segment of a pattern', () => {
    const other = new Redactor(['http.*.authorization', 'token', '*.credit-card']);
    expect(
      ['Authorization', 'http.request.header.authorization', 'token', 'creditCard'].map((n) => other.isSecret(n)),
    ).toEqual([true, true, true, true]);
    expect(other.isSecret('password')).toBe(false);
  });

  it.each(['*', '', '*.', '*.pass*', '*.-'])('are refused as a pattern when there is none: %j', (pattern) => {
    expect(() => new Redactor([pattern])).toThrow(expect.objectContaining({ reason: 'bad_tool_rules' }));
  });

  it('hide nothing without patterns', () => {
    expect(new Redactor([]).redact({ password: 'x' })).toEqual({ password: 'x' });
  });

  it('are read in time that grows with their length only', () => {
    const started = performance.now();
    redactor.isSecret('a_'.repeat(500_000));
    redactor.redact(`[${'a'.repeat(1_000_000)}`);
    redactor.redact(`{${'a '.repeat(500_000)}`);
    redactor.redact(`{a${'\\'.repeat(1_000_000)}`);
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

describe('places', () => {
  /** Each puts the value under the name somewhere in an answer. */
  const places: [string, (name: string, value: unknown) => unknown][] = [
    ['a field', (name, value) => ({ [name]: value })],
    ['a field deep down', (name, value) => ({ a: [{ b: { c: [[{ [name]: value }]] } }] })],
    ['a list under the name', (name, value) => ({ [name]: [value, { x: value }] })],
    [
      'a table column',
      (name, value) => ({
        columns: [
          { name: 'a', type: 'INTEGER' },
          { name, type: 'VARCHAR' },
        ],
        rows: [[1, value]],
      }),
    ],
    ['a table column given by name only', (name, value) => ({ columns: [name], rows: [[value], [value]] })],
    ['a key-value pair', (name, value) => [{ key: name, value }]],
    ['an OTLP attribute', (name, value) => [{ key: name, value: { stringValue: value } }]],
    ['JSON text', (name, value) => JSON.stringify({ a: 1, [name]: value })],
    [
      'JSON text in a cell',
      (name, value) => ({ columns: [{ name: 'attributes' }], rows: [[JSON.stringify({ [name]: value })]] }),
    ],
    ['JSON text in JSON text', (name, value) => JSON.stringify({ body: JSON.stringify([{ [name]: value }]) })],
    ['JSON text encoded twice', (name, value) => JSON.stringify(JSON.stringify({ [name]: value }))],
    ['JSON text with space around', (name, value) => `\n  ${JSON.stringify({ [name]: value }, null, 2)} `],
    [
      'JSON text that was cut off',
      (name, value) => JSON.stringify({ [name]: value, more: 'x'.repeat(10) }).slice(0, -5),
    ],
    [
      'JSON text cut off inside a string',
      (name, value) => JSON.stringify({ body: JSON.stringify({ [name]: value }) }).slice(0, -4),
    ],
    [
      'JSON text nested past the limit',
      (name, value) =>
        Array.from({ length: 10 }).reduce<string>(
          (text) => JSON.stringify({ text }),
          JSON.stringify({ [name]: value }),
        ),
    ],
  ];
  const cases = places.flatMap(([place, put]) => secretNames.map((name) => ({ place, put, name })));

  it.each(cases)('$place: $name', ({ put, name }) => {
    const clean = JSON.stringify(redactor.redact(put(name, canary)));
    expect(clean).toContain('[redacted]');
    expect(clean).not.toContain(canary);
  });

  it.each(places)('%s: a plain name is left alone', (_place, put) => {
    for (const name of plainNames.filter((each) => !each.includes(' '))) {
      const value = put(name, canary);
      expect(redactor.redact(value)).toEqual(value);
    }
  });

  it("DuckDB's own printing of structs and maps", () => {
    for (const text of [`{'password': ${canary}, 'user': alex}`, `{password=${canary}, user=alex}`]) {
      expect(redactor.redact(text)).toBe('[redacted]');
    }
    expect(redactor.redact(`{'user': alex}`)).toBe(`{'user': alex}`);
  });

  it('keeps what stands beside a secret, byte for byte where nothing was hidden', () => {
    const rows = [[1, 'hunter2', '{ "a" : 1 }']];
    const columns = [
      { name: 'id', type: 'INTEGER' },
      { name: 'db_password', type: 'VARCHAR' },
      { name: 'x', type: 'JSON' },
    ];
    expect(redactor.redact({ kind: 'table', columns, rows, note: 'kept' })).toEqual({
      kind: 'table',
      columns,
      note: 'kept',
      rows: [[1, '[redacted]', '{ "a" : 1 }']],
    });
    expect(redactor.redact('{"a":1,"secret":"x","b":[2]}')).toBe('{"a":1,"secret":"[redacted]","b":[2]}');
  });

  it('leaves the value itself as it is: others may hold it', () => {
    const value = Object.freeze({ password: 'x', list: Object.freeze([{ secret: 1 }]) });
    expect(redactor.redact(value)).toEqual({ password: '[redacted]', list: [{ secret: '[redacted]' }] });
    expect(value).toEqual({ password: 'x', list: [{ secret: 1 }] });
  });

  it('makes plain JSON of what a database may return', () => {
    const at = new Date(Date.UTC(2026, 0, 1));
    const value = { small: 7n, big: 2n ** 70n, at, bytes: new Uint8Array([1, 255]), nan: Number.NaN, none: undefined };
    expect(redactor.redact(value)).toEqual({
      small: 7,
      big: '1180591620717411303424',
      at: '2026-01-01T00:00:00.000Z',
      bytes: '01ff',
      nan: null,
    });
  });

  it('no value under a secret name survives, wherever it stands', () => {
    const leaf = fc.constantFrom('x', 1, null, true);
    const name = fc.constantFrom(...secretNames, ...plainNames, 'rows', 'columns', 'value', 'key', '__proto__');
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium' },
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.array(fc.tuple(name, tie('tree')), { maxLength: 4 }).map((members) => Object.fromEntries(members)),
        fc
          .tuple(fc.constantFrom(...secretNames), tie('tree'))
          .map(([key, value]) => ({ [key]: [canary, value, { deep: canary }] })),
        tie('tree').map((value) => JSON.stringify(value)),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(JSON.stringify(redactor.redact(value))).not.toContain(canary);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a call', () => {
  it('hides secrets in its answer and in all that the log keeps of it', async () => {
    await using stage = await openStage();
    const columns = [{ name: 'attributes', type: 'JSON' }];
    const rows = [[JSON.stringify({ 'db.password': canary, route: '/pay' })]];
    serve(stage, 'coral_query', () => Promise.resolve(envelope({ kind: 'table', columns, rows })));
    const who = await stage.lessee('alex');
    const args = { query: JSON.stringify({ apiKey: canary, ask: 'latency' }) };
    const answer = await stage.path.call(stage.request(who, { name: 'coral_query', args }));
    const refused = await stage.path.call(
      stage.request(who, { name: 'coral_query', args: { query: 'x', options: { client_secret: canary } } }),
    );
    expect(answer.text).toContain('/pay');
    expect(refused.isError).toBe(true);
    const log = JSON.stringify(await stage.rows());
    expect(log).toContain('latency');
    for (const text of [answer.text, refused.text, log, JSON.stringify(answer.body)])
      expect(text).not.toContain(canary);
    // The tool itself works with what was asked.
    expect(JSON.stringify(stage.ran)).toContain(canary);
  });
});

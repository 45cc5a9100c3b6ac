import { spawnSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { rolldown } from 'rolldown';
import { describe, expect, it } from 'vitest';
import { AuditLog } from './audit-log.js';
import type { AuditEntry, AuditRow } from './audit-row.js';
import { openAuditIndex, type AuditIndex } from './index.js';
import { entry, fixedClock, tamper, temporaryDirectory } from './testing/audit-fixture.js';

const user = { user_id: 'alex', agent_id: 'eph-a' };

function intent(tool: string, args: Record<string, string>): AuditEntry {
  return { ...user, kind: 'tool_call.intent', payload: { tool_name: tool, tool_args: args } };
}

function outcome(of: AuditRow, more: AuditEntry['payload'] = {}): AuditEntry {
  const payload = { tool_name: 'coral_query', outcome: 'ok', intent_seq: of.seq, ...more };
  return { ...user, kind: 'tool_call.outcome', payload };
}

const calls = 'SELECT * EXCLUDE (id, timestamp) FROM mcp_tool_audit ORDER BY timestamp, tool_name';

async function setUp(): Promise<
  AsyncDisposable & { log: AuditLog; directory: string; file: string; index(): Promise<AuditIndex>; tick(): void }
> {
  const place = await temporaryDirectory();
  const clock = fixedClock();
  const log = await AuditLog.open({ directory: place.audit, clock, segmentBytes: 2_000 });
  const file = join(place.path, 'audit.duckdb');
  return {
    log,
    file,
    directory: place.audit,
    index: () => openAuditIndex({ file, directory: place.audit }),
    tick: () => (clock.at += 1_000),
    [Symbol.asyncDispose]: async () => {
      await log.close();
      await place[Symbol.asyncDispose]();
    },
  };
}

describe('AuditIndex', () => {
  it("has RFD 028's three tables, column by column", async () => {
    await using place = await setUp();
    await using index = await place.index();
    const columns = await index.sql(
      `SELECT table_name AS t, string_agg(column_name || ' ' || data_type || if(is_nullable = 'NO', ' !', ''), ', '
         ORDER BY ordinal_position) AS c
       FROM information_schema.columns WHERE table_name NOT LIKE 'audit_index_%' GROUP BY ALL ORDER BY ALL`,
    );
    const time = 'id UUID !, timestamp TIMESTAMP WITH TIME ZONE !, user_id VARCHAR !';
    expect(columns).toEqual([
      {
        t: 'ask_transcripts',
        c: `${time}, agent_id VARCHAR, question VARCHAR !, answer VARCHAR, llm_provider VARCHAR, llm_model VARCHAR, tool_calls JSON, tokens_input INTEGER, tokens_output INTEGER`,
      },
      {
        t: 'ephemeral_agent_audit',
        c: `${time}, agent_id VARCHAR !, action VARCHAR !, ttl_seconds INTEGER, ip_address VARCHAR, user_agent VARCHAR`,
      },
      {
        t: 'mcp_tool_audit',
        c: `${time}, agent_id VARCHAR, tool_name VARCHAR !, tool_args JSON, response_size_bytes INTEGER, success BOOLEAN !, error_message VARCHAR, execution_time_ms INTEGER`,
      },
    ]);
  });

  it('makes one row of intent and outcome, also when they arrive apart', async () => {
    await using place = await setUp();
    const together = await place.log.append(intent('coral_query', { query: 'latency' }));
    await place.log.append(outcome(together, { response_size_bytes: 120, execution_time_ms: 7 }));
    place.tick();
    const apart = await place.log.append(intent('coral_get_health', {}));
    await using index = await place.index();
    const first = {
      ...user,
      tool_name: 'coral_query',
      tool_args: '{"query":"latency"}',
      response_size_bytes: 120,
      success: true,
      error_message: null,
      execution_time_ms: 7,
    };
    const open = { tool_name: 'coral_get_health', success: false, error_message: 'no outcome recorded' };
    expect(await index.sql(calls)).toMatchObject([first, open]);
    await place.log.append(outcome(apart, { outcome: 'deadline', error_message: 'too slow', execution_time_ms: 9 }));
    await index.catchUp();
    const late = { success: false, error_message: 'too slow', execution_time_ms: 9 };
    expect(await index.sql(calls)).toMatchObject([first, late]);
    expect(await index.sql('SELECT * FROM audit_index_open_intents')).toEqual([]);
  });

  it('shows calls that were refused before there was an intent', async () => {
    await using place = await setUp();
    const payload = { tool_name: 'coral_query', outcome: 'unauthenticated', error_reason: 'token_expired' };
    await place.log.append({ kind: 'tool_call.outcome', user_id: null, agent_id: null, payload });
    await using index = await place.index();
    const row = { user_id: '', agent_id: null, success: false, error_message: 'token_expired', tool_args: null };
    expect(await index.sql(calls)).toMatchObject([row]);
  });

  it('takes what a caller may have sent as it is, and numbers only where they fit', async () => {
    await using place = await setUp();
    const name = 'a\u0000b ü \u{1f600} "';
    const args = { text: name, nested: [null, { n: 1.5 }] };
    const payload = { tool_name: name, tool_args: args, outcome: { odd: true } };
    const numbers = { response_size_bytes: 2 ** 31, execution_time_ms: 'soon' };
    await place.log.append({ ...user, kind: 'tool_call.outcome', payload: { ...payload, ...numbers } });
    await using index = await place.index();
    const [row] = await index.sql('SELECT * FROM mcp_tool_audit');
    expect(row).toMatchObject({ tool_name: name, response_size_bytes: null, execution_time_ms: null, success: false });
    expect(row?.['error_message']).toBe('{"odd":true}');
    expect(JSON.parse(String(row?.['tool_args']))).toEqual(args);
  });

  it('shows leases and transcripts', async () => {
    await using place = await setUp();
    const lease = { ttl_seconds: 300, ip_address: '192.0.2.7', user_agent: 'coral/0.1' };
    await place.log.append({ ...user, kind: 'ephemeral.request_access', payload: lease });
    place.tick();
    await place.log.append({ ...user, kind: 'ephemeral.denied', agent_id: null, payload: {} });
    const transcript = { question: 'Why?', answer: 'So.', llm_provider: 'builtin', tool_calls: ['x'], tokens_input: 3 };
    await place.log.append({ ...user, kind: 'ask.transcript', payload: transcript });
    await using index = await place.index();
    expect(await index.sql('SELECT * FROM ephemeral_agent_audit ORDER BY timestamp')).toMatchObject([
      { action: 'request_access', agent_id: 'eph-a', timestamp: '2026-01-01 00:00:00+00', ...lease },
      { action: 'denied', agent_id: '', ttl_seconds: null },
    ]);
    expect(await index.sql('SELECT * FROM ask_transcripts')).toMatchObject([{ ...transcript, tool_calls: '["x"]' }]);
  });

  it('catches up from where it was, over segments and restarts, and twice changes nothing', async () => {
    await using place = await setUp();
    const count = 'SELECT count(*)::INTEGER AS n FROM mcp_tool_audit WHERE success';
    for (let round = 1; round <= 4; round += 1) {
      for (let n = 0; n < 10; n += 1)
        await place.log.append(outcome(await place.log.append(intent('coral_query', {}))));
      await using index = await place.index();
      await Promise.all([index.catchUp(), index.catchUp()]);
      expect(await index.sql(count)).toEqual([{ n: round * 10 }]);
    }
  });

  it('is rebuilt when its file is gone, is not DuckDB, or was made from other segments', async () => {
    await using place = await setUp();
    await place.log.append(intent('coral_query', {}));
    const rows = async (): Promise<number> => {
      await using index = await place.index();
      return (await index.sql('SELECT * FROM mcp_tool_audit')).length;
    };
    expect(await rows()).toBe(1);
    await rm(place.file);
    expect(await rows()).toBe(1);
    await writeFile(place.file, 'not a database, but long enough to be looked at '.repeat(200));
    expect(await rows()).toBe(1);
    await using other = await setUp();
    for (let n = 0; n < 30; n += 1) await other.log.append(intent('coral_query', {}));
    const foreign = await openAuditIndex({ file: place.file, directory: other.directory });
    expect(await foreign.sql('SELECT count(*)::INTEGER AS n FROM mcp_tool_audit')).toEqual([{ n: 30 }]);
    await foreign.close();
  });

  it('refuses to be made from a broken chain', async () => {
    await using place = await setUp();
    await place.log.append(entry(1));
    await tamper(place.directory, 1, (lines) => lines.map((line) => line.replace('"n":1', '"n":2')));
    await expect(place.index()).rejects.toMatchObject({ reason: 'audit_chain_broken' });
  });

  it('is not needed by what only verifies: that works where DuckDB is not installed', async () => {
    await using place = await setUp();
    const bundle = join(dirname(place.file), 'bundle');
    const main = `
      import { openAuditIndex, verifyAudit } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
      console.log(JSON.stringify(await verifyAudit(process.argv[2])));
      await openAuditIndex({ file: 'unused', directory: process.argv[2] }).catch((e) => console.log(e.code));`;
    const entryFile = join(dirname(place.file), 'main.ts');
    await writeFile(entryFile, main);
    const build = await rolldown({
      input: entryFile,
      platform: 'node',
      external: /^@duckdb/,
      tsconfig: join(import.meta.dirname, '../../../tsconfig.json'),
    });
    await build.write({
      dir: bundle,
      format: 'esm',
      entryFileNames: 'main.mjs',
      chunkFileNames: '[name].mjs',
    });
    await build.close();
    const run = spawnSync(process.execPath, [join(bundle, 'main.mjs'), place.directory], { encoding: 'utf8' });
    const [verdict = '', index] = run.stdout.trim().split('\n');
    expect(JSON.parse(verdict)).toMatchObject({ ok: true, rows: 1 });
    expect(index).toBe('ERR_MODULE_NOT_FOUND');
  });
});

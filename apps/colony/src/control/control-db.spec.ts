import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlDb } from './control-db.js';

/** As the first version made it. */
const firstLeases = `
  CREATE TABLE leases (
    agent_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    key_id TEXT NOT NULL UNIQUE,
    public_key BLOB NOT NULL,
    token_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    host INTEGER NOT NULL UNIQUE,
    direct_certificate_sha256 BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    ends_at_monotonic REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'active', 'ended')),
    ended_as TEXT CHECK (ended_as IN ('released', 'expired', 'revoked', 'unanswered')),
    ended_by TEXT
  ) STRICT;
  CREATE INDEX leases_by_user ON leases (user_id)`;

describe('ControlDb', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coral-control-'));
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('is private and durable', () => {
    using db = ControlDb.open(directory);
    expect(statSync(join(directory, 'control.db')).mode & 0o777).toBe(0o600);
    expect(db.sql.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    expect(db.sql.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
  });

  it('keeps a second process out of the data directory', () => {
    using _db = ControlDb.open(directory);
    const script = `
      const { DatabaseSync } = require('node:sqlite');
      const sql = new DatabaseSync(${JSON.stringify(join(directory, 'control.db'))});
      try { sql.exec('BEGIN IMMEDIATE'); console.log('opened'); } catch (e) { console.log(e.errcode); }`;
    expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim()).toBe('5');
  });

  it('refuses a directory that another colony uses, by name', () => {
    using _db = ControlDb.open(directory);
    expect(() => ControlDb.open(directory)).toThrow(
      expect.objectContaining({ kind: 'failed_precondition', reason: 'data_directory_in_use', where: directory }),
    );
  });

  it('lets go of the directory when closed', () => {
    ControlDb.open(directory)[Symbol.dispose]();
    using db = ControlDb.open(directory);
    expect(db.isOpen()).toBe(true);
  });

  it('undoes a transaction that throws', () => {
    using db = ControlDb.open(directory);
    const insert = "INSERT INTO join_tokens VALUES ('t', 'h', 'alex', '{}', 1, 2, NULL, NULL)";
    expect(() =>
      db.transaction(() => {
        db.sql.exec(insert);
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(db.sql.prepare('SELECT count(*) AS n FROM join_tokens').get()).toEqual({ n: 0 });
  });

  it('says `unavailable` when a write fails', () => {
    using db = ControlDb.open(directory);
    db.sql.exec('PRAGMA query_only = 1');
    expect(() => db.transaction(() => db.sql.exec('DELETE FROM leases'))).toThrow(
      expect.objectContaining({ kind: 'unavailable', reason: 'control_store_unavailable' }),
    );
  });

  it('brings leases of the first version up, and then knows leases without a seat', () => {
    ControlDb.open(directory)[Symbol.dispose]();
    const file = join(directory, 'control.db');
    using old = new DatabaseSync(file);
    old.exec(`DROP TABLE leases; DROP TABLE mesh_endpoints; ${firstLeases};
      INSERT INTO leases VALUES ('eph-a', 'alex', 'key', x'01', 'token', 'coral ask', 32768, NULL, 1, 2, 'boot', 3.5,
        'active', NULL, NULL);
      PRAGMA user_version = 1`);
    old.close();
    using db = ControlDb.open(directory);
    expect(db.sql.prepare('SELECT agent_id, key_id, host, ends_at_monotonic, state FROM leases').all()).toEqual([
      { agent_id: 'eph-a', key_id: 'key', host: 32768, ends_at_monotonic: 3.5, state: 'active' },
    ]);
    const insert = (id: string, key: string) =>
      db.sql.exec(`INSERT INTO leases VALUES ('${id}', 'alex', ${key}, NULL, 'token', '', NULL, NULL, 1, 2, 'boot', 3,
        'active', NULL, NULL)`);
    insert('web-a', 'NULL');
    insert('web-b', 'NULL');
    expect(() => insert('web-c', "'key-2'")).toThrow('CHECK');
    expect(db.sql.prepare('PRAGMA user_version').get()).toEqual({ user_version: 3 });
  });

  it('refuses tables of a newer version', () => {
    ControlDb.open(directory)[Symbol.dispose]();
    const sql = new DatabaseSync(join(directory, 'control.db'));
    sql.exec('PRAGMA user_version = 99');
    sql.close();
    expect(() => ControlDb.open(directory)).toThrow(expect.objectContaining({ reason: 'control_store_too_new' }));
  });
});

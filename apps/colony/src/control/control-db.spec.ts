import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlDb } from './control-db.js';

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

  it('refuses tables of a newer version', () => {
    ControlDb.open(directory)[Symbol.dispose]();
    const sql = new DatabaseSync(join(directory, 'control.db'));
    sql.exec('PRAGMA user_version = 99');
    sql.close();
    expect(() => ControlDb.open(directory)).toThrow(expect.objectContaining({ reason: 'control_store_too_new' }));
  });
});

import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CoralError } from '@coral/errors';

/** Raised with each change of the tables; a newer file is refused, an older one is brought up. */
const schemaVersion = 3;

const leases = `
  CREATE TABLE leases (
    agent_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- key, public key and host: the seat on the mesh, which accesses through the public door do not have
    key_id TEXT UNIQUE,
    public_key BLOB,
    token_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    host INTEGER UNIQUE,
    direct_certificate_sha256 BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    ends_at_monotonic REAL NOT NULL,
    -- reserved (counted, not granted: its audit row is not durable yet) -> active -> ended (its last audit row is due)
    state TEXT NOT NULL CHECK (state IN ('reserved', 'active', 'ended')),
    ended_as TEXT CHECK (ended_as IN ('released', 'expired', 'revoked', 'unanswered')),
    ended_by TEXT,
    CHECK ((key_id IS NULL) = (public_key IS NULL) AND (key_id IS NULL) = (host IS NULL))
  ) STRICT;
  CREATE INDEX leases_by_user ON leases (user_id);
`;

const endpoints = `
  -- Where members of the mesh were last: a restarted colony calls them there instead of waiting for them.
  CREATE TABLE mesh_endpoints (key_id TEXT PRIMARY KEY, host TEXT NOT NULL, port INTEGER NOT NULL) STRICT;
`;

const schema = `${leases}${endpoints}
  CREATE TABLE agents (
    agent_id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL UNIQUE,
    public_key BLOB NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    labels TEXT NOT NULL,
    host INTEGER NOT NULL UNIQUE,
    direct_certificate_sha256 BLOB,
    direct_endpoint TEXT,
    services TEXT NOT NULL DEFAULT '[]',
    enrolled_at INTEGER NOT NULL,
    last_seen_at INTEGER
  ) STRICT;

  CREATE TABLE join_tokens (
    token_id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    owner TEXT NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    used_by TEXT
  ) STRICT;

  CREATE TABLE api_tokens (
    token_id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    user_id TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT;

  -- A port the system chose: taken again at the next start, so that agents and laptops find the colony where it was.
  CREATE TABLE ports (name TEXT PRIMARY KEY, port INTEGER NOT NULL) STRICT;
`;

/** From the version of the index + 1 to the next one. */
const upgrades = [
  // 2: leases without a seat. SQLite cannot take a NOT NULL back, so the table is made anew.
  `ALTER TABLE leases RENAME TO leases_1;
   DROP INDEX leases_by_user;
   ${leases}
   INSERT INTO leases SELECT agent_id, user_id, key_id, public_key, token_id, purpose, host, direct_certificate_sha256,
     created_at, expires_at, boot_id, ends_at_monotonic, state, ended_as, ended_by FROM leases_1;
   DROP TABLE leases_1;`,
  // 3
  endpoints,
];

const sqliteBusy = 5;

class DataDirectoryInUse extends CoralError {
  constructor(directory: string, cause: unknown) {
    super({
      kind: 'failed_precondition',
      reason: 'data_directory_in_use',
      where: directory,
      message: `${directory}: another colony is running on this data directory.`,
      next: 'Stop that colony, or give this one its own `data_dir`.',
      cause,
    });
  }
}

class ControlStoreTooNew extends CoralError {
  constructor(file: string, found: number) {
    super({
      kind: 'failed_precondition',
      reason: 'control_store_too_new',
      where: file,
      message: `${file} was written by a newer colony (tables version ${found}, this one knows ${schemaVersion}).`,
      next: 'Run the newer version, or restore the data directory from before the upgrade.',
    });
  }
}

/** Also thrown for a full or read-only disk at any later write. */
export class ControlStoreUnavailable extends CoralError {
  constructor(problem: string, cause: unknown) {
    super({
      kind: 'unavailable',
      reason: 'control_store_unavailable',
      message: `The colony's control store cannot be written: ${problem}.`,
      next: 'Check free space and rights of the colony data directory; the colony recovers by itself.',
      cause,
    });
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * Leases, agents and tokens: small, durable, one writer. WAL with synchronous=FULL: a committed row survives power loss.
 * The exclusive lock (fcntl, dropped by the kernel when the process dies, however it dies) is also what keeps a second
 * colony out of the data directory, so this file is opened before anything else is touched.
 */
export class ControlDb implements Disposable {
  readonly sql: DatabaseSync;

  private constructor(sql: DatabaseSync) {
    this.sql = sql;
  }

  static open(directory: string): ControlDb {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = join(directory, 'control.db');
    const sql = new DatabaseSync(file);
    try {
      chmodSync(file, 0o600);
      sql.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      // Takes the lock now and not at the first write.
      sql.exec('BEGIN IMMEDIATE');
      migrate(sql, file);
      sql.exec('COMMIT');
    } catch (thrown) {
      sql.close();
      if (isBusy(thrown)) throw new DataDirectoryInUse(directory, thrown);
      throw thrown;
    }
    return new ControlDb(sql);
  }

  /** All or nothing, and on disk when it returns. Synchronous, so no other request can come between. */
  transaction<T>(work: () => T): T {
    this.begin();
    try {
      const result = work();
      this.sql.exec('COMMIT');
      return result;
    } catch (thrown) {
      if (this.sql.isTransaction) this.sql.exec('ROLLBACK');
      if (isSqliteError(thrown)) throw new ControlStoreUnavailable(messageOf(thrown), thrown);
      throw thrown;
    }
  }

  private begin(): void {
    try {
      this.sql.exec('BEGIN IMMEDIATE');
    } catch (thrown) {
      throw new ControlStoreUnavailable(messageOf(thrown), thrown);
    }
  }

  /** False once closed; used by /readyz. */
  isOpen(): boolean {
    return this.sql.isOpen;
  }

  [Symbol.dispose](): void {
    if (this.sql.isOpen) this.sql.close();
  }
}

function migrate(sql: DatabaseSync, file: string): void {
  const found = Number(sql.prepare('PRAGMA user_version').get()?.['user_version']);
  if (found > schemaVersion) throw new ControlStoreTooNew(file, found);
  if (found === 0) sql.exec(schema);
  else for (const upgrade of upgrades.slice(found - 1)) sql.exec(upgrade);
  sql.exec(`PRAGMA user_version = ${schemaVersion}`);
}

function isSqliteError(thrown: unknown): thrown is Error & { errcode: number } {
  return thrown instanceof Error && 'errcode' in thrown && typeof thrown.errcode === 'number';
}

function isBusy(thrown: unknown): boolean {
  return isSqliteError(thrown) && (thrown.errcode & 0xff) === sqliteBusy;
}

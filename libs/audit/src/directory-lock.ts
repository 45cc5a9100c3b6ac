import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AuditInUse } from './audit.errors.js';

const lockFile = 'writer.lock';
/** SQLITE_BUSY, sqlite.org/rescode.html. */
const busy = 5;

function isBusy(thrown: unknown): boolean {
  return thrown instanceof Error && 'errcode' in thrown && thrown.errcode === busy;
}

/**
 * One writer per directory. Node offers no flock, and a file holding a process id outlives a kill -9 or names a stranger's
 * process; an empty SQLite file under BEGIN EXCLUSIVE is a kernel lock that goes away with its holder.
 * Throws `audit_in_use`. Nobody may open the lock file in another way: closing it would drop the lock (POSIX).
 */
export function lockDirectory(directory: string): Disposable {
  const database = new DatabaseSync(join(directory, lockFile));
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (thrown) {
    database.close();
    if (isBusy(thrown)) throw new AuditInUse(directory);
    throw thrown;
  }
  return { [Symbol.dispose]: () => database.close() };
}

/** Whether a process, this one included, is writing in the directory. */
export function isLocked(directory: string): boolean {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(join(directory, lockFile), { readOnly: true });
  } catch {
    return false; // no lock file: nobody ever wrote here, or this is a copy
  }
  try {
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (thrown) {
    return isBusy(thrown);
  } finally {
    database.close();
  }
}

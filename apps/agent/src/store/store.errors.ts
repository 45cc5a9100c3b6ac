import { CoralError } from '@coral/errors';

export function dataDirInUse(directory: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'data_dir_in_use',
    message: `Another process uses ${directory}.`,
    next: 'Stop the other agent, or give this one a data_dir of its own.',
    where: 'data_dir',
    cause,
  });
}

export function storeNotReady(cause: unknown): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'store_not_ready',
    message: 'The local span files cannot be opened at the moment.',
    next: 'Look at the agent’s log and at the free space of its data_dir; the agent tries again by itself.',
    cause,
  });
}

/** What the engine's text says about a file that would not open. Only `damaged` files are ever set aside. */
export function classifyOpenFailure(thrown: unknown): 'in_use' | 'no_room' | 'damaged' {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (/could not set lock|conflicting lock/i.test(text)) return 'in_use';
  if (
    /no space|disk quota|file too large|too many open files|permission denied|read-only file system|out of memory/i.test(
      text,
    )
  ) {
    return 'no_room';
  }
  return 'damaged';
}

import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import { readConfigText } from '@coral/config';
import { CoralError, toCoralError } from '@coral/errors';
import { systemClock, type Clock } from '@coral/model';
import { parsePolicy } from './parse-policy.js';
import type { Policy } from './policy.js';

/** How often the file is read even when the system reports no change: some mounts never do. */
export const policyPollMs = 1_000;
/** How long new content must stand still before it counts: a writer may be in the middle of it. */
export const policySettleMs = 200;

/** What makes the watch look at the file. Tests bring their own and call `check()` by hand. */
export interface PolicyTriggers {
  /** Calls `check` whenever the file may have changed; returns how to stop. */
  start(path: string, check: () => void): () => void;
  /** Calls `check` once more, a moment from now. */
  soon(check: () => void): void;
}

export interface PolicyWatchOptions {
  /** A new policy is in force already when this is called. */
  onChange(policy: Policy): void | Promise<void>;
  /** The file is broken, empty, gone or unreadable; the last good policy stays. Called once for each different state. */
  onError(error: CoralError): void;
  clock?: Clock | undefined;
  triggers?: PolicyTriggers | undefined;
}

export interface PolicyStatus {
  revision: string;
  /** Wall clock, ms since the Unix epoch, when this revision came into force. */
  loadedAt: number;
  /** Why the file as it stands now is not in force. */
  error: CoralError | undefined;
}

export interface PolicyWatch {
  current(): Policy;
  status(): PolicyStatus;
  /** Looks at the file now. New content counts when two looks in a row found it the same. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The policy of a file, and of every later good version of it within 5 seconds: edits in place, files renamed over it
 * and Kubernetes' `..data` link swaps. Refuses to start on a broken file; later keeps the last good one.
 */
export async function watchPolicyFile(path: string, options: PolicyWatchOptions): Promise<PolicyWatch> {
  const clock = options.clock ?? systemClock;
  const triggers = options.triggers ?? systemTriggers;
  let current = parsePolicy(await readConfigText(path), path);
  let loadedAt = clock.now();
  let error: CoralError | undefined;
  let refused: string | undefined;
  let unsettled: string | undefined;
  let queue = Promise.resolve();
  let closed = false;

  const look = async (): Promise<void> => {
    if (closed) return;
    const seen = await readState(path);
    if (seen.state === current.revision) {
      error = refused = unsettled = undefined;
      return;
    }
    if (seen.state === refused) return;
    if (seen.state !== unsettled) {
      unsettled = seen.state;
      triggers.soon(checkLater);
      return;
    }
    unsettled = undefined;
    try {
      if (seen.text === undefined) throw seen.error;
      current = parsePolicy(seen.text, path);
    } catch (thrown) {
      refused = seen.state;
      error = toCoralError(thrown);
      options.onError(error);
      return;
    }
    loadedAt = clock.now();
    error = refused = undefined;
    await options.onChange(current);
  };

  // One look at a time: two at once could take the older content for the newer.
  const check = (): Promise<void> => {
    const next = queue.then(look);
    queue = next.catch(() => undefined);
    return next;
  };
  const checkLater = (): void => {
    check().catch((thrown: unknown) => options.onError(toCoralError(thrown)));
  };
  const stop = triggers.start(path, checkLater);

  return {
    current: () => current,
    status: () => ({ revision: current.revision, loadedAt, error }),
    check,
    close: async () => {
      closed = true;
      stop();
      await queue;
    },
  };
}

type FileState = { state: string; text: string } | { state: string; text: undefined; error: CoralError };

/** Content is known by its hash, which is also the policy's revision; a failure by its reason. */
async function readState(path: string): Promise<FileState> {
  try {
    const text = await readConfigText(path);
    return { state: createHash('sha256').update(text).digest('hex'), text };
  } catch (thrown) {
    const error = toCoralError(thrown);
    return { state: error.reason, text: undefined, error };
  }
}

const systemTriggers: PolicyTriggers = {
  start(path, check) {
    const timer = setInterval(check, policyPollMs).unref();
    const stopWatching = watchFolder(dirname(path), check);
    return () => {
      clearInterval(timer);
      stopWatching();
    };
  },
  soon(check) {
    setTimeout(check, policySettleMs).unref();
  },
};

/** The folder, not the file: a watch on the file follows the old one when another is renamed over it. */
function watchFolder(folder: string, check: () => void): () => void {
  try {
    const watcher = watch(folder, { persistent: false }, check);
    // Watches run out (ENOSPC) or die with their folder; polling alone still keeps the promise.
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => undefined;
  }
}

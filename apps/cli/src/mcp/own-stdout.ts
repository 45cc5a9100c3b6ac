import { once } from 'node:events';

export interface OwnStdout extends Disposable {
  /** Resolves when the reader has room for more. Rejects when there is no reader any more. */
  write(text: string): Promise<void>;
}

/**
 * Takes standard output for one purpose: whoever else in this process writes there, a library's console.log say, writes to
 * standard error instead until this is disposed.
 */
export function claimStdout({ stdout, stderr }: Pick<NodeJS.Process, 'stdout' | 'stderr'> = process): OwnStdout {
  const original = stdout.write;
  let room: Promise<unknown> | undefined;
  stdout.write = stderr.write.bind(stderr) as typeof stdout.write;
  return {
    write: async (text) => {
      if (original.call(stdout, text)) return;
      room ??= once(stdout, 'drain').finally(() => {
        room = undefined;
      });
      await room;
    },
    [Symbol.dispose]: () => {
      stdout.write = original;
    },
  };
}

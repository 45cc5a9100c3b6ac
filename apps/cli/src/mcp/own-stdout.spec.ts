import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { claimStdout } from './own-stdout.js';

/** Takes what it is given when it is told to. */
class Slow extends Writable {
  readonly texts: string[] = [];
  private done: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.texts.push(chunk.toString());
    this.done = done;
  }

  take(): void {
    this.done?.();
  }
}

const pair = () => {
  const [out, err] = [new Slow(), new Slow()];
  return { out, err, streams: { stdout: out, stderr: err } as unknown as Pick<NodeJS.Process, 'stdout' | 'stderr'> };
};

describe('standard output with one owner', () => {
  it('sends what anybody else writes there to standard error, until it is given up', () => {
    const { out, err, streams } = pair();
    {
      using own = claimStdout(streams);
      void own.write('mine\n');
      streams.stdout.write('noise\n');
      expect([out.texts, err.texts]).toEqual([['mine\n'], ['noise\n']]);
    }
    out.take();
    streams.stdout.write('free\n');
    expect(out.texts).toEqual(['mine\n', 'free\n']);
  });

  it('waits for a reader that is slow', async () => {
    const { out, streams } = pair();
    using own = claimStdout(streams);
    let written = 0;
    const both = [own.write('a'), own.write('b')].map((write) => write.then(() => (written += 1)));
    await new Promise(setImmediate);
    expect([out.texts, written]).toEqual([['a'], 0]);
    out.take();
    out.take();
    await Promise.all(both);
    expect([out.texts, written]).toEqual([['a', 'b'], 2]);
  });
});

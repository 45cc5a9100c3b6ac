import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

/** The two ends of the cable between the test and the namespace. */
export interface CableEnd {
  v4: string;
  v6: string;
}

export interface CommandOptions {
  /** Goes to the command's standard input: keys, which must not stand in an argument. */
  input?: string;
}

/**
 * What becomes process 1 of the namespace: it waits for the end of its standard input. The test process holds the other
 * end, so that whatever way that process ends, by SIGKILL too, the kernel takes the namespace, everything that runs in it and
 * both ends of the cable away. Nothing has a name that could be left behind. Its /run is its own: WireGuard's control sockets
 * of two namespaces do not meet.
 */
const processOne = [
  'mount --make-rprivate /',
  'mount -t proc proc /proc',
  'mount -t tmpfs tmpfs /run',
  'ip link set lo up',
  'echo ready',
  'exec cat',
].join(' && ');

/** A machine of its own for the kernel's side of a test: network, processes and /run apart, joined to ours by a cable. */
export class NetworkNamespace {
  readonly here: CableEnd;
  readonly there: CableEnd;
  readonly #holder: ChildProcessWithoutNullStreams;
  readonly #pid: number;
  /** Name of our end: at most 15 bytes, and nobody else's. */
  readonly #cable = `coral-${randomBytes(4).toString('hex')}`;
  #isPlugged = false;

  /** Needs root (see `requirements.ts`). */
  static async create(): Promise<NetworkNamespace> {
    const holder = spawn('unshare', [
      '--net',
      '--pid',
      '--mount',
      '--fork',
      '--kill-child',
      '--',
      'sh',
      '-c',
      processOne,
    ]);
    const said = text(holder.stderr);
    const lines = createInterface({ input: holder.stdout });
    const first = await Promise.race([once(lines, 'line'), once(holder, 'close')]);
    if (first[0] !== 'ready') throw new Error(`no network namespace: ${await said}`);
    // unshare --fork has one child; its number out here is what nsenter takes.
    const pid = Number(readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').trim());
    const namespace = new NetworkNamespace(holder, pid);
    try {
      await namespace.#plugIn();
    } catch (error) {
      await namespace.remove();
      throw error;
    }
    return namespace;
  }

  private constructor(holder: ChildProcessWithoutNullStreams, pid: number) {
    this.#holder = holder;
    this.#pid = pid;
    const [a, b, c, d, e, f] = randomBytes(6);
    // One of 16,384 networks of four addresses, and one of 2^32: two test runs on one machine do not meet.
    const base = `10.213.${a}`;
    const last = (b ?? 0) & 0xfc;
    const prefix = `fd7c:${hex(c, d)}:${hex(e, f)}::`;
    this.here = { v4: `${base}.${last + 1}`, v6: `${prefix}1` };
    this.there = { v4: `${base}.${last + 2}`, v6: `${prefix}2` };
  }

  /** Runs a command in the namespace to its end; rejects with what it said on stderr when it fails. */
  async run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const child = this.spawn(command, args);
    // A command that ends without reading is judged by its exit code.
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
    child.stdin.end(options.input ?? '');
    return finished(child, command, args);
  }

  /** Starts a command that ends with the namespace at the latest. Its parent out here may be killed: the command dies too. */
  spawn(command: string, args: readonly string[], env: Record<string, string> = {}): ChildProcessWithoutNullStreams {
    const entering = [
      '-t',
      String(this.#pid),
      '--net',
      '--pid',
      '--mount',
      '--',
      'setpriv',
      '--pdeathsig',
      'KILL',
      '--',
    ];
    return spawn('nsenter', [...entering, command, ...args], { env: { ...process.env, ...env } });
  }

  /** `ip` in the namespace. */
  ip(...args: string[]): Promise<string> {
    return this.run('ip', args);
  }

  async remove(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    // The kernel would do it too, a moment after the namespace is gone.
    if (this.#isPlugged) await runHere('ip', ['link', 'del', this.#cable]);
    const gone = once(this.#holder, 'close');
    this.#holder.stdin.end();
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }

  async #plugIn(): Promise<void> {
    const cable = this.#cable;
    await runHere('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'cable', 'netns', String(this.#pid)]);
    this.#isPlugged = true;
    // Without nodad an IPv6 address cannot be used for its first second.
    await runHere('ip', ['addr', 'add', `${this.here.v4}/30`, 'dev', cable]);
    await runHere('ip', ['addr', 'add', `${this.here.v6}/64`, 'dev', cable, 'nodad']);
    await runHere('ip', ['link', 'set', cable, 'up']);
    await this.ip('addr', 'add', `${this.there.v4}/30`, 'dev', 'cable');
    await this.ip('addr', 'add', `${this.there.v6}/64`, 'dev', 'cable', 'nodad');
    await this.ip('link', 'set', 'cable', 'up');
  }
}

/** Runs a command out here to its end, as `NetworkNamespace.run` does in there. */
export function runHere(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return finished(child, command, args);
}

async function finished(child: ChildProcess, command: string, args: readonly string[]): Promise<string> {
  const output = child.stdout ? text(child.stdout) : '';
  const errors = child.stderr ? text(child.stderr) : '';
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${signal ?? code}: ${(await errors).trim()}`);
  return output;
}

function hex(high = 0, low = 0): string {
  return ((high << 8) | low).toString(16);
}

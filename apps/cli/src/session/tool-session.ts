import { setTimeout as wait } from 'node:timers/promises';
import { CoralError } from '@coral/errors';
import type { Clock, Duration } from '@coral/model';
import type { McpAnswer, ToolsResult } from '@coral/mcp-client';
import type { ToolDefinition } from '@coral/tools';
import { openColony, type ColonyApi } from '../colony/colony-api.js';
import { tokenFor } from '../config/colony-credentials.js';
import type { PinnedColony } from '../config/choose-colony.js';
import { openLease, type LeaseOptions, type MeshLease } from './mesh-lease.js';

/** How long a colony may be away before a new lease is given up on, and how often it is asked, ms. */
export const reopenWindowMs = 15_000;
const reopenPauseMs = 300;

export interface SessionOptions {
  colony: PinnedColony;
  credentialsFile: string;
  purpose: string;
  ttl?: Duration | undefined;
  /** `ephemeral.auto_cleanup`. */
  autoCleanup: boolean;
  clock: Clock;
  signal: AbortSignal;
  /** The lease ended or the colony came back changed; a new lease is being asked for. */
  onReconnect(): void;
}

/**
 * The tools of one colony for as long as a command runs. A lease that ends in between is replaced once, unseen by the
 * caller but for `onReconnect`. Close it on every way out (`await using`): mesh and lease go back.
 */
export class ToolSession implements AsyncDisposable {
  #lease: Promise<MeshLease>;
  #current: MeshLease;
  readonly #lost = new WeakSet<MeshLease>();
  #reconnected = false;
  #closed: Promise<void> | undefined;

  private constructor(
    private readonly colony: ColonyApi,
    private readonly leaseOptions: LeaseOptions,
    private readonly onReconnect: () => void,
    lease: MeshLease,
  ) {
    this.#lease = Promise.resolve(lease);
    this.#current = lease;
  }

  static async open(options: SessionOptions): Promise<ToolSession> {
    const token = await tokenFor(options.colony, options.credentialsFile);
    const colony = await openColony(options.colony, token, options.signal);
    const leaseOptions: LeaseOptions = {
      colony,
      purpose: options.purpose,
      ttl: options.ttl,
      release: options.autoCleanup,
      clock: options.clock,
      signal: options.signal,
    };
    try {
      return new ToolSession(colony, leaseOptions, options.onReconnect, await openLease(leaseOptions));
    } catch (thrown) {
      colony[Symbol.dispose]();
      throw thrown;
    }
  }

  /** The lease in use now. */
  get agentId(): string {
    return this.#current.agentId;
  }

  async listTools(signal: AbortSignal): Promise<ToolDefinition[]> {
    return this.#withLease((lease) => lease.tools.listTools({ signal }));
  }

  /** As it came, with tools that this version does not know. */
  async toolsResult(signal: AbortSignal): Promise<ToolsResult> {
    return this.#withLease((lease) => lease.tools.toolsResult({ signal }));
  }

  async callTool(name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<McpAnswer> {
    return this.#withLease((lease) => lease.tools.callTool(name, args, { signal }));
  }

  async #withLease<T>(work: (lease: MeshLease) => Promise<T>): Promise<T> {
    const lease = await this.#lease;
    try {
      return await work(lease);
    } catch (thrown) {
      const { signal } = this.leaseOptions;
      if (signal.aborted) throw thrown;
      // Another call found the lease lost first, and closing it ended this one too.
      if (!this.#lost.has(lease)) {
        if (!isLostLease(thrown) || this.#reconnected) throw thrown;
        this.#reconnected = true;
        this.#lost.add(lease);
        this.onReconnect();
        this.#lease = this.#reopen(lease);
        // Whoever waits for the new lease hears of its failure; without a listener Node would end the process.
        this.#lease.catch(() => undefined);
      }
      return work(await this.#lease);
    }
  }

  async #reopen(lost: MeshLease): Promise<MeshLease> {
    // First back, then anew: a user may hold only so many.
    await lost.close();
    const { clock, signal } = this.leaseOptions;
    const started = clock.monotonic();
    for (;;) {
      try {
        this.#current = await openLease(this.leaseOptions);
        return this.#current;
      } catch (thrown) {
        // A colony that restarts answers on the mesh and on its API at slightly different times.
        const away = thrown instanceof CoralError && thrown.kind === 'unavailable';
        if (!away || clock.monotonic() - started > reopenWindowMs) throw thrown;
        await wait(reopenPauseMs, undefined, { signal });
      }
    }
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#lease.catch(() => undefined);
    await this.#current.close();
    this.colony[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Over, revoked, forgotten by a colony that restarted, or its far end moved: all mended by a new lease, if by anything. */
function isLostLease(thrown: unknown): boolean {
  if (!(thrown instanceof CoralError)) return false;
  return thrown.kind === 'unauthenticated' || (thrown.kind === 'unavailable' && thrown.reason === 'colony_unreachable');
}

import { randomUUID } from 'node:crypto';
import { CoralError } from '@coral/errors';
import { connectMcp, type McpConnection } from '@coral/mcp-client';
import { openMeshChannel } from '@coral/rpc';
import type { Leased, Person } from './start-colony.js';

export interface AnsweredCall {
  /** Names the call in the audit. */
  key: string;
  userId: string;
  agentId: string;
}

/** Somebody who asks one question after the other under one lease, and keeps a ledger of the answers. */
export class CallLoad {
  readonly answered: AnsweredCall[] = [];
  /** Calls that ended without an answer, and why. */
  readonly failed: CoralError[] = [];
  readonly lease: Leased;
  readonly #person: Person;
  readonly #undo: AsyncDisposableStack;
  readonly #working: Promise<void>;
  #stopping = false;
  #onAnswer: () => void = () => undefined;

  private constructor(person: Person, lease: Leased, mcp: McpConnection, undo: AsyncDisposableStack) {
    this.#person = person;
    this.lease = lease;
    this.#undo = undo;
    this.#working = this.#work(mcp);
  }

  static async start(person: Person): Promise<CallLoad> {
    await using undo = new AsyncDisposableStack();
    const lease = undo.use(await person.lease(900));
    const channel = await openMeshChannel(lease.mesh, lease.colonyAddress, 9_000);
    undo.defer(() => channel.close());
    const mcp = await connectMcp({ channel, token: lease.answer.accessToken });
    undo.defer(() => mcp.close());
    return new CallLoad(person, lease, mcp, undo.move());
  }

  /** Resolves in the moment the next answer is in. */
  nextAnswer(): Promise<void> {
    return new Promise((resolve) => (this.#onAnswer = resolve));
  }

  /** Resolves when the call under way has ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#working;
    await this.#undo.disposeAsync();
  }

  async #work(mcp: McpConnection): Promise<void> {
    while (!this.#stopping) {
      const key = randomUUID();
      try {
        const answer = await mcp.callTool('coral_get_health', {}, { idempotencyKey: key });
        if (answer.isError) throw new CoralError(answer.error as CoralError);
        this.answered.push({ key, userId: this.#person.userId, agentId: this.lease.answer.agentId });
        this.#onAnswer();
      } catch (thrown) {
        if (!(thrown instanceof CoralError)) throw thrown;
        this.failed.push(thrown);
      }
    }
  }
}

import { Agent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Mesh } from '@coral/mesh';

type Callback = (error: Error | null, stream: Duplex) => void;

/** Keeps HTTP connections through the mesh, as Node's own agent keeps those of TCP. */
export class MeshAgent extends Agent {
  readonly #dial: () => Promise<Duplex>;

  constructor(mesh: Mesh, address: string, port: number) {
    super({ keepAlive: true });
    this.#dial = () => mesh.dial(address, port);
  }

  override createConnection(_options: ClientRequestArgs, callback?: Callback): undefined {
    void this.#connect(callback);
  }

  async #connect(callback: Callback | undefined): Promise<void> {
    try {
      callback?.(null, await this.#dial());
    } catch (thrown) {
      // Node's types know no failure here, its agent does: the request gets the error.
      (callback as ((error: Error) => void) | undefined)?.(thrown as Error);
    }
  }
}

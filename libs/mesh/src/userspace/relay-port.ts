import type { KeyId } from '@coral/model';
import type { FromWorker } from './protocol.js';
import type { MeshRelay } from './userspace-mesh.types.js';
import type { WorkerLink } from './worker-link.js';

/** Carries datagrams between the worker and WebSockets that another part of this process holds. */
export class RelayPort implements MeshRelay {
  readonly #worker: WorkerLink;
  readonly #keyAt: (slot: number) => KeyId | undefined;
  #send: (id: string, datagrams: Uint8Array[]) => void = () => undefined;
  #bind: (id: string, peer: KeyId) => void = () => undefined;
  #cut: (id: string) => void = () => undefined;

  constructor(worker: WorkerLink, keyAt: (slot: number) => KeyId | undefined) {
    this.#worker = worker;
    this.#keyAt = keyAt;
  }

  opened(id: string, remoteAddress: string): void {
    this.#worker.send({ type: 'relay_opened', id, remoteAddress });
  }

  datagrams(id: string, datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) {
      const own = new Uint8Array(datagram);
      this.#worker.send({ type: 'relay_datagrams', id, datagrams: [own] }, own);
    }
  }

  closed(id: string): void {
    this.#worker.send({ type: 'relay_closed', id });
  }

  onSend(listener: (id: string, datagrams: Uint8Array[]) => void): void {
    this.#send = listener;
  }

  onBind(listener: (id: string, peer: KeyId) => void): void {
    this.#bind = listener;
  }

  onCut(listener: (id: string) => void): void {
    this.#cut = listener;
  }

  receive(message: FromWorker): void {
    if (message.type === 'relay_send') this.#send(message.id, message.datagrams);
    else if (message.type === 'relay_cut') this.#cut(message.id);
    else if (message.type === 'relay_bound') {
      const peer = this.#keyAt(message.slot);
      if (peer !== undefined) this.#bind(message.id, peer);
    }
  }
}

// The driver `userspace`: WireGuard and TCP in one worker thread per endpoint; here is its face towards the application.
// Every gate on a peer's time stands twice: here, on each read and write, and in the worker, on each packet.
import type { CoralError } from '@coral/errors';
import { keyIdOf, type Clock, type KeyId } from '@coral/model';
import type { ForwardingRule } from '../hub/forwarding.types.js';
import {
  badMeshPort,
  badMeshSettings,
  meshClosed,
  meshDialCancelled,
  meshPortTaken,
  meshUnknownPeer,
  meshUnreachable,
  tooManyPeers,
} from '../mesh.errors.js';
import type { ListenOptions, MeshListener, MeshSocket, Peer } from '../mesh.js';
import { defaultDialTimeoutMs, firstDynamicPort, lastPort, sweepEveryMs } from '../mesh.limits.js';
import { PeerTable, type PeerEntry } from '../peer-table.js';
import { dialError } from './dial-error.js';
import { PeerSlots } from './peer-slots.js';
import type { FromWorker, WorkerEvent, WorkerStatus } from './protocol.js';
import { RelayPort } from './relay-port.js';
import { SharedClock } from './shared-clock.js';
import {
  defaultMeshMtu,
  type MeshCounters,
  type MeshEvent,
  type MeshRelay,
  type PeerStatus,
  type UserspaceMesh,
  type UserspaceMeshOptions,
} from './userspace-mesh.types.js';
import { checkOptions, checkRule } from './userspace-settings.js';
import { UserspaceSocket, type StreamLink } from './userspace-socket.js';
import { WorkerLink } from './worker-link.js';

interface Dial {
  address: string;
  port: number;
  entry: PeerEntry;
  resolve(socket: UserspaceSocket): void;
  reject(error: CoralError): void;
  timeoutMs: number;
}

/**
 * Opens one end of the mesh. Errors: `invalid_argument` bad_mesh_settings; `failed_precondition` mesh_port_in_use;
 * `unavailable` mesh_worker_lost.
 */
export async function openUserspaceMesh(options: UserspaceMeshOptions): Promise<UserspaceMesh> {
  checkOptions(options);
  const endpoint = new UserspaceEndpoint(options);
  await endpoint.open();
  return endpoint;
}

class UserspaceEndpoint implements UserspaceMesh {
  readonly keyId: KeyId;
  readonly driver = 'userspace';
  readonly lost: Promise<CoralError>;
  readonly relay: MeshRelay;
  udpPort = 0;
  readonly #options: UserspaceMeshOptions;
  readonly #clock: Clock;
  readonly #peers: PeerTable;
  readonly #slots = new PeerSlots();
  readonly #slotOf = new Map<PeerEntry, number>();
  readonly #entryAt = new Map<number, PeerEntry>();
  readonly #worker = new WorkerLink();
  readonly #relay: RelayPort;
  readonly #listeners = new Map<number, (socket: MeshSocket) => void>();
  readonly #dials = new Map<number, Dial>();
  readonly #streams = new Map<number, UserspaceSocket>();
  readonly #markLost: (error: CoralError) => void;
  #nextId = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #over: CoralError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: UserspaceMeshOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.keyId = keyIdOf(options.keyPair.publicKey);
    this.#peers = new PeerTable(options.clock);
    this.#relay = new RelayPort(this.#worker, (slot) => this.#entryAt.get(slot)?.peer.keyId);
    this.relay = this.#relay;
    const { promise, resolve } = Promise.withResolvers<CoralError>();
    this.lost = promise;
    this.#markLost = resolve;
  }

  async open(): Promise<void> {
    const { keyPair, addresses, mtu = defaultMeshMtu, udp, hub = false, clock } = this.#options;
    const privateKey = new Uint8Array(keyPair.privateKey);
    this.udpPort = await this.#worker.open(
      {
        type: 'open',
        privateKey,
        addresses: [...addresses],
        mtu,
        udp: udp === 'ephemeral' ? undefined : udp,
        hub,
        slots: this.#slots.buffer,
        clock: clock instanceof SharedClock ? clock.buffer : undefined,
      },
      { message: (message) => this.#receive(message), lost: (error) => this.#lose(error) },
    );
  }

  async dial(
    address: string,
    port: number,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<MeshSocket> {
    if (this.#over) throw this.#over;
    if (!Number.isInteger(port) || port < 1 || port > lastPort) throw badMeshPort(port);
    const { signal, timeoutMs = defaultDialTimeoutMs } = options;
    const entry = this.#entryFor(address);
    if (signal?.aborted) throw meshDialCancelled(address, port, signal.reason);
    const id = (this.#nextId += 2);
    const { promise, resolve, reject } = Promise.withResolvers<UserspaceSocket>();
    const drop = (error: CoralError): void => {
      if (this.#dials.delete(id)) this.#worker.sendNow({ type: 'reset', id });
      reject(error);
    };
    const onAbort = (): void => drop(meshDialCancelled(address, port, signal?.reason));
    // The worker knows why nothing came back; should it not say so either, `lost` ends the dial.
    const timer = setTimeout(() => this.#worker.send({ type: 'give_up', id }), timeoutMs);
    this.#dials.set(id, { address, port, entry, resolve, reject: drop, timeoutMs });
    entry.cuts.add(drop);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#worker.hold(true);
    this.#worker.send({ type: 'dial', id, slot: this.#slotOf.get(entry) ?? -1, address, port });
    try {
      return await promise;
    } finally {
      this.#worker.hold(false);
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      entry.cuts.delete(drop);
      this.#dials.delete(id);
    }
  }

  async listen(
    port: number,
    onConnection: (socket: MeshSocket) => void,
    options: ListenOptions = {},
  ): Promise<MeshListener> {
    if (this.#over) throw this.#over;
    if (!Number.isInteger(port) || port < 0 || port > lastPort) throw badMeshPort(port);
    const bound = port === 0 ? this.#freePort() : port;
    if (this.#listeners.has(bound)) throw meshPortTaken(bound);
    this.#listeners.set(bound, onConnection);
    const forwarded = options.forwarded ?? false;
    const result = await this.#worker.call((call) => ({ type: 'listen', call, port: bound, forwarded }));
    if (!result.ok) {
      this.#listeners.delete(bound);
      throw meshPortTaken(bound);
    }
    this.#worker.hold(true);
    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      this.#listeners.delete(bound);
      this.#worker.hold(false);
      if (!this.#over) await this.#worker.call((call) => ({ type: 'unlisten', call, port: bound }));
    };
    return { port: bound, close: () => (closing ??= close()) };
  }

  addPeer(peer: Peer): void {
    if (this.#over) throw this.#over;
    const entry = this.#peers.add(peer);
    if (!entry.over()) this.#tellOf(entry);
    this.#sweep();
  }

  removePeer(keyId: KeyId): void {
    this.#peers.remove(keyId);
  }

  allowForwarding(source: KeyId, rules: readonly ForwardingRule[]): void {
    if (this.#over) throw this.#over;
    if (!this.#options.hub) throw badMeshSettings('hub', 'this end of the mesh was not opened as a hub');
    for (const rule of rules) checkRule(rule);
    const entry = this.#peers.withKey(source);
    const slot = entry && this.#slotOf.get(entry);
    if (slot === undefined) throw meshUnknownPeer(source, 'its forwarding rules have nobody to belong to');
    // At once, like a removal: rules that are taken back must not outlive this call by a busy turn.
    this.#worker.sendNow({ type: 'forwarding', slot, rules: rules.map((rule) => this.#inWorkerTime(rule)) });
  }

  async ping(address: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<number> {
    if (this.#over) throw this.#over;
    const { timeoutMs = defaultDialTimeoutMs, signal } = options;
    this.#entryFor(address);
    const asking = this.#worker.call((call) => ({ type: 'ping', call, address, timeoutMs }), timeoutMs);
    // Whoever aborts does not wait for it.
    asking.catch(() => undefined);
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(meshDialCancelled(address, 0, signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      const result = await Promise.race([asking, aborted.promise]);
      if (!result.ok) throw meshUnreachable(address, result.problem);
      return result.pingMs ?? 0;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async counters(): Promise<MeshCounters> {
    return (await this.#status()).counters;
  }

  async peers(): Promise<PeerStatus[]> {
    const { peers } = await this.#status();
    return peers.flatMap(({ slot, ...status }) => {
      const keyId = this.#entryAt.get(slot)?.peer.keyId;
      return keyId === undefined ? [] : [{ keyId, ...status }];
    });
  }

  async close(): Promise<void> {
    await (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#finish(meshClosed(), undefined);
    await this.#worker.close();
  }

  #lose(error: CoralError): void {
    this.#finish(error, error);
    this.#markLost(error);
  }

  /** Nothing goes through here any more: dials, streams and listeners end before it returns. */
  #finish(error: CoralError, streamError: CoralError | undefined): void {
    if (this.#over) return;
    this.#over = error;
    clearTimeout(this.#sweeper);
    for (const { reject } of this.#dials.values()) reject(error);
    for (const stream of this.#streams.values()) stream.destroy(streamError);
    this.#listeners.clear();
  }

  #entryFor(address: string): PeerEntry {
    const entry = this.#peers.routeTo(address);
    if (!entry) throw meshUnknownPeer(address, 'this end was never told of it');
    const over = entry.over();
    if (over) throw over;
    return entry;
  }

  /** A new peer gets a slot; one that is known gets its new settings. */
  #tellOf(entry: PeerEntry): void {
    const { peer } = entry;
    let slot = this.#slotOf.get(entry);
    if (slot === undefined) {
      slot = this.#slots.take();
      if (slot === undefined) {
        this.#peers.remove(peer.keyId);
        throw tooManyPeers();
      }
      const taken = slot;
      this.#slotOf.set(entry, taken);
      this.#entryAt.set(taken, entry);
      entry.cuts.add(() => this.#forget(entry, taken));
    }
    const { wireguard } = peer;
    this.#worker.sendNow({
      type: 'peer',
      slot,
      publicKey: new Uint8Array(peer.publicKey),
      presharedKey: wireguard?.presharedKey && new Uint8Array(wireguard.presharedKey),
      addresses: peer.addresses,
      allowedIps: wireguard?.allowedIps,
      endpoint: wireguard?.endpoint,
      keepaliveSeconds: wireguard?.persistentKeepaliveSeconds ?? 0,
      expiresAt: this.#wallInWorker(peer.expiresAt),
    });
  }

  /** Revoked for the worker before this returns, then told. */
  #forget(entry: PeerEntry, slot: number): void {
    this.#slots.revoke(slot);
    this.#slotOf.delete(entry);
    this.#entryAt.delete(slot);
    this.#worker.sendNow({ type: 'remove_peer', slot });
  }

  /** Ends are told as moments of the worker's clock: another one than ours when a test turns the hands of ours. */
  #wallInWorker(at: number | undefined): number {
    if (at === undefined) return Number.POSITIVE_INFINITY;
    return this.#clock instanceof SharedClock ? at : Date.now() + (at - this.#clock.now());
  }

  #inWorkerTime(rule: ForwardingRule): ForwardingRule {
    return rule.until === undefined ? rule : { ...rule, until: this.#wallInWorker(rule.until) };
  }

  async #status(): Promise<WorkerStatus> {
    const result = await this.#worker.call((call) => ({ type: 'status', call }));
    if (!result.ok || !result.status) throw new TypeError('the worker answered a question nobody asked');
    return result.status;
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'bytes':
        return this.#streams.get(message.id)?.arrived(message.bytes);
      case 'credit':
        return this.#streams.get(message.id)?.gone(message.bytes);
      case 'ended':
        return this.#streams.get(message.id)?.arrivedEnd();
      case 'closed':
        return this.#streams.get(message.id)?.connectionClosed(message.problem);
      case 'accepted':
        return this.#accept(message);
      case 'dialled':
        return this.#dialled(message.id);
      case 'dial_failed': {
        const dial = this.#dials.get(message.id);
        return dial?.reject(dialError({ ...dial, peer: dial.entry.peer.keyId }, message.failure, message.problem));
      }
      case 'slot_free':
        return this.#slots.release(message.slot);
      case 'peer_ended':
        return this.#ended(message.slot, message.problem);
      case 'peer_refused': {
        const entry = this.#entryAt.get(message.slot);
        if (!entry) return undefined;
        this.#emit({ kind: 'peer_refused', peer: entry.peer.keyId, problem: message.problem });
        return void entry.end(message.problem);
      }
      case 'event':
        return this.#event(message.event);
      default:
        return this.#relay.receive(message);
    }
  }

  /** Over by the worker's clock. One whose new end crossed that message on its way comes back, without its streams. */
  #ended(slot: number, problem: string): void {
    const entry = this.#entryAt.get(slot);
    if (!entry) return;
    const renewed = entry.over() === undefined;
    entry.end(problem);
    if (renewed) this.addPeer(entry.peer);
  }

  #dialled(id: number): void {
    const dial = this.#dials.get(id);
    // Given up in the meantime: the worker has been told to reset it.
    if (!dial) return;
    const over = dial.entry.over();
    if (over) return dial.reject(over);
    const { entry, address, port } = dial;
    const forwarded = !this.#peers.isOwnAddress(entry, address);
    dial.resolve(this.#keep(id, new UserspaceSocket({ entry, link: this.#linkOf(id), address, port, forwarded })));
  }

  #accept(message: Extract<FromWorker, { type: 'accepted' }>): void {
    const { id, slot, port, remoteAddress: address, remotePort, forwarded } = message;
    const entry = this.#entryAt.get(slot);
    const onConnection = this.#listeners.get(port);
    if (!entry || entry.over() || !onConnection) return this.#worker.sendNow({ type: 'reset', id });
    const link = this.#linkOf(id);
    onConnection(this.#keep(id, new UserspaceSocket({ entry, link, address, port: remotePort, forwarded })));
  }

  #keep(id: number, socket: UserspaceSocket): UserspaceSocket {
    this.#streams.set(id, socket);
    return socket;
  }

  #linkOf(id: number): StreamLink {
    const worker = this.#worker;
    return {
      bytes: (bytes) => worker.send({ type: 'bytes', id, bytes }, bytes),
      credit: (bytes) => worker.send({ type: 'credit', id, bytes }),
      end: () => worker.send({ type: 'end', id }),
      drop: (how) => {
        this.#streams.delete(id);
        worker.send({ type: how, id });
      },
      hold: (on) => worker.hold(on),
    };
  }

  #event(event: WorkerEvent): void {
    if (event.kind === 'refused') {
      const { publicKey, ...rest } = event;
      return this.#emit({ ...rest, peer: keyIdOf(publicKey) });
    }
    const { slot, ...rest } = event;
    const peer = this.#entryAt.get(slot)?.peer.keyId;
    if (peer !== undefined) this.#emit({ ...rest, peer });
  }

  #emit(event: MeshEvent): void {
    this.#options.onEvent?.(event);
  }

  #freePort(): number {
    for (let port = firstDynamicPort; port <= lastPort; port++) if (!this.#listeners.has(port)) return port;
    throw meshPortTaken(0);
  }

  #sweep(): void {
    clearTimeout(this.#sweeper);
    const next = this.#peers.sweep();
    if (next === Number.POSITIVE_INFINITY || this.#over) return;
    this.#sweeper = setTimeout(() => this.#sweep(), Math.min(Math.max(next, 0), sweepEveryMs));
    // Expiry is no reason to keep a process alive.
    this.#sweeper.unref();
  }
}

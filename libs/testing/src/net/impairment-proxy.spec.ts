import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ImpairmentProxy, type ImpairmentProxyOptions } from './impairment-proxy.js';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

interface Heard {
  text: string;
  port: number;
}

/** A socket on loopback that keeps what it hears, and can be awaited to have heard enough. */
class Listener {
  readonly heard: Heard[] = [];
  readonly socket: Socket;
  #wake: (() => void) | undefined;

  private constructor(host: string, echo: boolean) {
    this.socket = createSocket(host === '::1' ? 'udp6' : 'udp4');
    this.socket.on('message', (datagram, from) => {
      this.heard.push({ text: datagram.toString(), port: from.port });
      if (echo) this.socket.send(datagram, from.port, from.address);
      this.#wake?.();
    });
    open.push(this.socket);
  }

  static async start(host = '127.0.0.1', echo = false): Promise<Listener> {
    const listener = new Listener(host, echo);
    listener.socket.bind(0, host);
    await once(listener.socket, 'listening');
    return listener;
  }

  get port(): number {
    return this.socket.address().port;
  }

  async hears(count: number): Promise<Heard[]> {
    while (this.heard.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.heard;
  }
}

async function throughProxy(options: Partial<ImpairmentProxyOptions> = {}, host = '127.0.0.1') {
  const server = await Listener.start(host, true);
  const client = await Listener.start(host);
  const proxy = await ImpairmentProxy.start({ target: { host, port: server.port }, seed: 1, host, ...options });
  open.push(proxy);
  const send = (text: string) => client.socket.send(text, proxy.port, proxy.host);
  return { server, client, proxy, send };
}

describe('an impairment proxy', () => {
  it.each(['127.0.0.1', '::1'])('carries datagrams both ways on %s', async (host) => {
    const { client, server, proxy, send } = await throughProxy({}, host);
    send('ping');
    expect(await client.hears(1)).toEqual([{ text: 'ping', port: proxy.port }]);
    expect(server.heard[0]?.port).toBe(proxy.sourcePorts()[0]);
  });

  it('loses as its seed says, in each direction by itself, and can be told otherwise while it runs', async () => {
    const { client, server, proxy, send } = await throughProxy();
    send('first');
    await client.hears(1);
    proxy.impair({ loss: 1 }, 'toTarget');
    for (let i = 0; i < 5; i += 1) send('lost');
    while (proxy.counters('toTarget').offered < 6) await new Promise((resolve) => setImmediate(resolve));
    // The way back is still open: the server can speak to the client by itself.
    server.socket.send('from the server', proxy.sourcePorts()[0]!, '127.0.0.1');
    await client.hears(2);
    proxy.impair({ loss: 0 });
    send('last');
    await client.hears(3);
    expect(client.heard.map(({ text }) => text)).toEqual(['first', 'from the server', 'last']);
    expect(proxy.counters('toTarget')).toMatchObject({ offered: 7, delivered: 2, lost: 5 });
    expect(proxy.counters('toClient')).toMatchObject({ offered: 3, delivered: 3, lost: 0 });
  });

  it('delays, duplicates and keeps the order', async () => {
    const { client, send, proxy } = await throughProxy({ impairments: { delayMs: 15, jitterMs: 5 } });
    proxy.impair({ duplicate: 1 }, 'toTarget');
    const started = performance.now();
    for (let i = 0; i < 20; i += 1) send(String(i));
    const heard = await client.hears(40);
    expect(performance.now() - started).toBeGreaterThanOrEqual(30);
    expect(heard.map(({ text }) => Number(text))).toEqual(Array.from({ length: 40 }, (_, i) => i >> 1));
  });

  it('comes from a new port after a rebind, and the way back still leads home', async () => {
    const { client, server, send, proxy } = await throughProxy();
    send('before');
    await client.hears(1);
    await proxy.rebind();
    send('after');
    await client.hears(2);
    const [before, after] = server.heard;
    expect(after?.port).not.toBe(before?.port);
    expect(client.heard.map(({ text }) => text)).toEqual(['before', 'after']);
  });

  it('records, and replays from the same place or from a stranger', async () => {
    const { client, server, send, proxy } = await throughProxy({ record: 1 });
    send('secret');
    await client.hears(1);
    send('not kept');
    await client.hears(2);
    expect(proxy.recorded.map(({ direction, datagram }) => [direction, datagram.toString()])).toEqual([
      ['toTarget', 'secret'],
    ]);
    proxy.replay(proxy.recorded[0]!);
    await server.hears(3);
    await proxy.replayFromStranger(proxy.recorded[0]!.datagram);
    await server.hears(4);
    expect(server.heard.map(({ text }) => text)).toEqual(['secret', 'not kept', 'secret', 'secret']);
    const ports = server.heard.map(({ port }) => port);
    expect([ports[2] === ports[0], ports[3] === ports[0]]).toEqual([true, false]);
  });

  it('keeps clients apart', async () => {
    const { client, server, send, proxy } = await throughProxy();
    const other = await Listener.start();
    send('one');
    other.socket.send('two', proxy.port, proxy.host);
    await Promise.all([client.hears(1), other.hears(1)]);
    expect([client.heard[0]?.text, other.heard[0]?.text]).toEqual(['one', 'two']);
    expect(new Set(server.heard.map(({ port }) => port)).size).toBe(2);
  });

  it('outlives a target that is not there', async () => {
    const { client, server, send, proxy } = await throughProxy();
    const { port } = server;
    server.socket.close();
    open.splice(open.indexOf(server.socket), 1);
    send('nobody');
    const again = createSocket('udp4');
    open.push(again);
    again.on('message', (datagram, from) => again.send(datagram, from.port, from.address));
    again.bind(port, '127.0.0.1');
    await once(again, 'listening');
    while (client.heard.length === 0) {
      send('anybody');
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(proxy.sourcePorts()).toHaveLength(1);
  });
});

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { byteStream, sha256OfStream } from './support/kernel-peer.js';
import { KernelSide } from './support/kernel-side.js';
import { NetworkNamespace, runHere } from './support/network-namespace.js';
import { describeInterop } from './support/requirements.js';
import { WireGuardGo } from './support/wireguard-go.js';

const support = (file: string): string => fileURLToPath(new URL(`support/${file}`, import.meta.url));

describeInterop('the rigs of the mesh', () => {
  it('a namespace is a machine of its own on a cable, for IPv4 and IPv6, and is gone when it is removed', async () => {
    const namespace = await NetworkNamespace.create();
    const { here, there } = namespace;
    await namespace.run('ping', ['-c', '1', '-W', '2', here.v4]);
    await namespace.run('ping', ['-c', '1', '-W', '2', here.v6]);
    await runHere('ping', ['-c', '1', '-W', '2', there.v6]);
    await expect(namespace.run('ping', ['-c', '1', '-W', '1', '192.0.2.1'])).rejects.toThrow('unreachable');
    await namespace.remove();
    await expect(namespace.run('true', [])).rejects.toThrow('No such file');
    expect(await runHere('ip', ['-o', 'addr'])).not.toContain(here.v4);
  });

  it('a test process that is killed leaves nothing behind: no cable, no wireguard-go', async () => {
    const script = `
      const { NetworkNamespace } = await import(${JSON.stringify(support('network-namespace.ts'))});
      const namespace = await NetworkNamespace.create();
      const foreign = namespace.spawn('wireguard-go', ['--foreground', 'wg0'], { WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: '1' });
      const netns = await namespace.run('sh', ['-c', 'until test -S /run/wireguard/wg0.sock; do :; done; readlink /proc/self/ns/net']);
      console.log(JSON.stringify({ address: namespace.here.v4, netns: netns.trim() }));
      await new Promise(() => setInterval(() => {}, 1000));`;
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script]);
    const errors = text(child.stderr);
    const [line] = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      errors.then((said) => Promise.reject(new Error(said))),
    ]);
    const { address, netns } = JSON.parse(String(line)) as { address: string; netns: string };
    expect(await processesIn(netns)).toContainEqual(expect.stringContaining('wireguard-go'));
    child.kill('SIGKILL');
    await once(child, 'close');
    await expect.poll(() => processesIn(netns), { timeout: 5_000 }).toEqual([]);
    await expect.poll(() => runHere('ip', ['-o', 'addr']), { timeout: 5_000 }).not.toContain(address);
  });

  it('the kernel’s side sends, receives, echoes, answers half-closed, and resets', async () => {
    await using namespace = await NetworkNamespace.create();
    const kernel = new KernelSide(namespace);
    const bytes = 300_000;
    const dial = async (port: number, seed: number, size: number) => {
      const socket = connect({ host: namespace.there.v6, port, allowHalfOpen: true });
      const heard: Buffer[] = [];
      let error: string | undefined;
      socket.on('data', (chunk: Buffer) => heard.push(chunk));
      socket.on('error', (cause: NodeJS.ErrnoException) => (error = cause.code));
      for (const chunk of byteStream(seed, size)) socket.write(chunk);
      const { localPort } = await once(socket, 'connect').then(() => socket);
      socket.end();
      await new Promise((resolve) => socket.once('close', resolve));
      return { heard: Buffer.concat(heard).length, error, localPort: localPort ?? 0 };
    };
    const receiver = await kernel.listen({ do: 'receive' });
    const received = await dial(receiver.port, 7, bytes);
    expect(await receiver.result(received.localPort)).toMatchObject({
      received: bytes,
      sha256: sha256OfStream(7, bytes),
      end: 'fin',
    });
    const echo = await kernel.listen({ do: 'echo' });
    expect((await dial(echo.port, 1, bytes)).heard).toBe(bytes);
    const answer = await kernel.listen({ do: 'answer', bytes: 50_000 });
    expect((await dial(answer.port, 1, 10)).heard).toBe(50_000);
    const reset = await kernel.listen({ do: 'reset', bytes: 5 });
    expect((await dial(reset.port, 1, 10)).error).toBe('ECONNRESET');
    expect(
      await kernel.connect('::1', (await kernel.listen({ do: 'send', bytes, seed: 3 })).port, { do: 'receive' }),
    ).toMatchObject({
      received: bytes,
      sha256: sha256OfStream(3, bytes),
    });
    const udp = createSocket('udp4');
    udp.send('echo me', await kernel.udpEcho(), namespace.there.v4);
    expect(String((await once(udp, 'message'))[0])).toBe('echo me');
    udp.close();
    kernel.close();
  });

  it('two wireguard-go of two machines shake hands across the cables', async () => {
    await using left = await NetworkNamespace.create();
    await using right = await NetworkNamespace.create();
    const keys = await Promise.all([newKeys(left), newKeys(right)]);
    const psk = randomBytes(32);
    const [here, there] = await Promise.all([
      WireGuardGo.start(left, { privateKey: keys[0].privateKey, addresses: ['10.77.0.1/24', 'fd77::1/64'] }),
      WireGuardGo.start(right, { privateKey: keys[1].privateKey, addresses: ['10.77.0.2/24', 'fd77::2/64'] }),
    ]);
    // The machines do not see each other: what one sends to this port of ours goes on to the other.
    const relay = createSocket('udp4');
    relay.bind(0);
    await once(relay, 'listening');
    relay.on('message', (datagram, from) => {
      const to = from.address === left.there.v4 ? { at: right, port: there.port } : { at: left, port: here.port };
      relay.send(datagram, to.port, to.at.there.v4);
    });
    const relayPort = relay.address().port;
    await here.setPeer({
      publicKey: keys[1].publicKey,
      presharedKey: psk,
      allowedIps: ['10.77.0.2/32', 'fd77::2/128'],
      endpoint: { host: left.here.v4, port: relayPort },
    });
    await there.setPeer({
      publicKey: keys[0].publicKey,
      presharedKey: psk,
      allowedIps: ['10.77.0.1/32', 'fd77::1/128'],
    });
    await left.run('ping', ['-c', '2', '-i', '0.2', '-W', '5', '10.77.0.2']);
    await left.run('ping', ['-c', '1', '-W', '5', 'fd77::2']);
    const [peer] = await there.peers();
    expect(peer).toMatchObject({
      publicKey: keys[0].publicKey.toString('base64'),
      endpoint: `${right.here.v4}:${relayPort}`,
    });
    expect(peer?.latestHandshake).toBeGreaterThan(0);
    await there.removePeer(keys[0].publicKey);
    expect(await there.peers()).toEqual([]);
    await expect(left.run('ping', ['-c', '1', '-W', '1', '10.77.0.2'])).rejects.toThrow('ping');
    relay.close();
    await there.stop();
    expect(await right.run('ip', ['-br', 'link'])).not.toContain('wg0');
  });
});

/** Command lines of the processes in a network namespace, as seen from out here. */
async function processesIn(netns: string): Promise<string[]> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const show = `for p in ${pids.join(' ')}; do test "$(readlink /proc/$p/ns/net)" = "${netns}" && tr '\\0' ' ' < /proc/$p/cmdline && echo; done; true`;
  return (await runHere('sh', ['-c', `{ ${show}; } 2>/dev/null`])).split('\n').filter((line) => line !== '');
}

async function newKeys(namespace: NetworkNamespace): Promise<{ privateKey: Buffer; publicKey: Buffer }> {
  const secret = await namespace.run('wg', ['genkey']);
  const open = await namespace.run('wg', ['pubkey'], { input: secret });
  return { privateKey: Buffer.from(secret, 'base64'), publicKey: Buffer.from(open, 'base64') };
}

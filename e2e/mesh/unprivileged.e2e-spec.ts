import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundle, type Bundle } from './support/bundle.js';
import { sha256OfStream } from './support/kernel-peer.js';
import { kernelInner, KernelStage } from './support/kernel-stage.js';
import { describeInterop } from './support/requirements.js';
import type { EndpointOrder, EndpointReport } from './support/unprivileged-endpoint.js';
import { nobody, spawnUnprivileged } from './support/unprivileged.js';

const none = '0000000000000000';

describeInterop('the mesh without privileges', () => {
  let stage: KernelStage;
  let program: Bundle;
  beforeAll(async () => {
    [stage, program] = await Promise.all([KernelStage.start(), bundle('unprivileged-endpoint.ts')]);
  });
  afterAll(async () => {
    program?.[Symbol.dispose]();
    await stage?.stop();
  });

  it.each(['v4', 'v6'] as const)(
    'joins and carries 5 MB both ways over IP%s as nobody, without capabilities, where nothing can be written',
    async (family) => {
      const inner = { v4: '10.78.200.1', v6: 'fd78::c801' }[family];
      const bytes = 5_000_000;
      const child = spawnUnprivileged(program, [stage.namespace.here[family], inner]);
      const errors = text(child.stderr);
      const lines = createInterface({ input: child.stdout });
      const nextLine = async (): Promise<string> => {
        const [line] = await Promise.race([
          once(lines, 'line'),
          once(child, 'close').then(async () => Promise.reject(new Error(await errors))),
        ]);
        return String(line);
      };
      const presharedKey = randomBytes(32);
      const publicKey = Buffer.from(await nextLine(), 'base64');
      await stage.foreign.setPeer({ publicKey, presharedKey, allowedIps: [inner] });
      const { port } = await stage.kernel.listen({ do: 'echo' });
      const order: EndpointOrder = {
        publicKey: stage.publicKey.toString('base64'),
        presharedKey: presharedKey.toString('base64'),
        endpoint: { host: stage.namespace.there[family], port: stage.foreign.port },
        echo: { address: kernelInner[family], port },
        bytes,
      };
      child.stdin.end(`${JSON.stringify(order)}\n`);
      const { result, privileges } = JSON.parse(await nextLine()) as EndpointReport;
      expect(result).toMatchObject({ received: bytes, sha256: sha256OfStream(1, bytes), end: 'fin' });
      expect(privileges).toEqual({
        uid: nobody,
        gid: nobody,
        groups: [nobody],
        capabilities: [none, none, none, none, none],
        noNewPrivileges: '1',
        writes: ['EROFS', 'EROFS', 'EROFS', 'EROFS'],
      });
      expect(await errors).toBe('');
    },
  );
});

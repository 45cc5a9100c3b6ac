import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyId } from '@coral/model';
import { ControlDb } from './control-db.js';
import { PeerEndpoints } from './peer-endpoints.js';

const [one, two] = ['key-one', 'key-two'] as unknown as [KeyId, KeyId];

describe('PeerEndpoints', () => {
  let directory: string;
  let db: ControlDb;
  const open = (): PeerEndpoints =>
    new PeerEndpoints(db, (thrown) => {
      throw thrown;
    });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-endpoints-'));
    db = ControlDb.open(directory);
  });
  afterEach(async () => {
    db[Symbol.dispose]();
    await rm(directory, { recursive: true });
  });

  it('knows after a restart where members were', () => {
    {
      using before = open();
      before.seen(one, '203.0.113.7:51820');
      before.seen(one, '203.0.113.8:4000');
      before.seen(two, '[2001:db8::7]:41820');
    }
    using after = open();
    expect(after.of(one)).toEqual({ host: '203.0.113.8', port: 4_000 });
    expect(after.of(two)).toEqual({ host: '2001:db8::7', port: 41_820 });
  });

  it('forgets who went to the relay and who was removed', () => {
    {
      using before = open();
      for (const key of [one, two]) before.seen(key, '203.0.113.7:51820');
    }
    {
      using next = open();
      next.seen(one, 'ws:0011223344556677');
      next.forget(two);
      expect([one, two].map((key) => next.of(key))).toEqual([undefined, undefined]);
    }
    using last = open();
    expect([one, two].map((key) => last.of(key))).toEqual([undefined, undefined]);
  });
});

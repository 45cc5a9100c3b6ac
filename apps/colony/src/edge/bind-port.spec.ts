import { CoralError } from '@coral/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { BindPort } from './bind-port.js';

const errno = (code: string): Error => Object.assign(new Error(code), { code });

describe('BindPort', () => {
  let kept: Map<string, number>;
  let ports: BindPort;
  beforeEach(() => {
    kept = new Map();
    ports = new BindPort({
      recall: (name) => kept.get(name),
      remember: (name, port) => void kept.set(name, port),
    });
  });

  const any = { host: '127.0.0.1', port: 0 };
  /** A machine on which `taken` ports cannot be had and a free one is 5000. */
  const machine =
    (...taken: number[]) =>
    async ({ port }: { port: number }) => {
      if (taken.includes(port)) throw errno('EADDRINUSE');
      return { port: port === 0 ? 5_000 : port };
    };

  it('takes the port that was configured, and remembers nothing', async () => {
    expect(await ports.bind('listen', { ...any, port: 41_820 }, machine())).toEqual({ port: 41_820 });
    expect(kept.size).toBe(0);
  });

  it('takes the same free port again', async () => {
    kept.set('listen', 4_321);
    expect(await ports.bind('listen', any, machine())).toEqual({ port: 4_321 });
  });

  it('takes another when somebody else has it now', async () => {
    kept.set('listen', 4_321);
    expect(await ports.bind('listen', any, machine(4_321))).toEqual({ port: 5_000 });
    expect(kept.get('listen')).toBe(5_000);
  });

  it('keeps the ports of different settings apart', async () => {
    await ports.bind('listen', any, machine());
    expect(kept).toEqual(new Map([['listen', 5_000]]));
    expect(await ports.bind('ops_listen', any, async () => ({ port: 5_001 }))).toEqual({ port: 5_001 });
    expect(kept.get('listen')).toBe(5_000);
  });

  it.each<[string, unknown, string, string]>([
    ['taken', errno('EADDRINUSE'), 'failed_precondition', 'port_taken'],
    ['forbidden', errno('EACCES'), 'failed_precondition', 'cannot_listen'],
    ['of another machine', errno('EADDRNOTAVAIL'), 'failed_precondition', 'cannot_listen'],
    [
      'taken, as the TLS server says it',
      new CoralError({ kind: 'failed_precondition', reason: 'port_taken', message: 'taken' }),
      'failed_precondition',
      'port_taken',
    ],
  ])('names the key to change when the address is %s', async (_name, thrown, kind, reason) => {
    const opening = ports.bind('mesh.listen', { host: '::1', port: 443 }, () => Promise.reject(thrown));
    await expect(opening).rejects.toMatchObject({
      kind,
      reason,
      where: '[::1]:443',
      message: expect.stringContaining('`mesh.listen`'),
      next: expect.stringContaining('`mesh.listen`'),
    });
  });

  it('leaves other failures as they are', async () => {
    const bug = new TypeError('no');
    await expect(ports.bind('listen', any, () => Promise.reject(bug))).rejects.toBe(bug);
  });
});

import { CoralError } from '@coral/errors';

export interface ListenAddress {
  host: string;
  port: number;
}

class PortTaken extends CoralError {
  constructor(key: string, where: string, cause: unknown) {
    super({
      kind: 'failed_precondition',
      reason: 'port_taken',
      where,
      message: `${where} (configured as \`${key}\`) is taken by another process.`,
      next: `Stop that process, or change \`${key}\` in colony.yaml (port 0 takes a free one).`,
      cause,
    });
  }
}

class CannotListen extends CoralError {
  constructor(key: string, where: string, cause: unknown) {
    super({
      kind: 'failed_precondition',
      reason: 'cannot_listen',
      where,
      message: `It is not possible to listen on ${where} (configured as \`${key}\`).`,
      next: `Change \`${key}\` in colony.yaml to an address of this machine and a port the colony may use.`,
      cause,
    });
  }
}

/** Where chosen ports are kept over restarts. */
export interface PortMemory {
  recall(name: string): number | undefined;
  remember(name: string, port: number): void;
}

/**
 * Port 0 means "any free port", and after the first start "the same again": agents and laptops were told where the colony
 * is, and a restart must not strand them. Should the port be taken meanwhile, another free one.
 */
export class BindPort {
  private readonly memory: PortMemory;

  constructor(memory: PortMemory) {
    this.memory = memory;
  }

  /** `key` is the setting, for errors and as the name the port is remembered by. */
  async bind<T extends { port: number }>(
    key: string,
    address: ListenAddress,
    open: (at: ListenAddress) => Promise<T>,
  ): Promise<T> {
    const remembered = address.port === 0 ? this.memory.recall(key) : undefined;
    const bound =
      (remembered === undefined ? undefined : await openUnlessTaken(open, { ...address, port: remembered })) ??
      (await open(address).catch((thrown: unknown) => refuse(key, address, thrown)));
    if (address.port === 0 && bound.port !== remembered) this.memory.remember(key, bound.port);
    return bound;
  }
}

async function openUnlessTaken<T>(open: (at: ListenAddress) => Promise<T>, at: ListenAddress): Promise<T | undefined> {
  try {
    return await open(at);
  } catch (thrown) {
    if (isTaken(thrown)) return undefined;
    throw thrown;
  }
}

function refuse(key: string, { host, port }: ListenAddress, thrown: unknown): never {
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  if (isTaken(thrown)) throw new PortTaken(key, where, thrown);
  if (isListenProblem(thrown)) throw new CannotListen(key, where, thrown);
  throw thrown;
}

function isTaken(thrown: unknown): boolean {
  return codeOf(thrown) === 'EADDRINUSE' || (thrown instanceof CoralError && thrown.reason === 'port_taken');
}

function isListenProblem(thrown: unknown): boolean {
  const codes = ['EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL', 'EAFNOSUPPORT'];
  return codes.includes(codeOf(thrown) ?? '') || (thrown instanceof CoralError && thrown.reason === 'cannot_listen');
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}

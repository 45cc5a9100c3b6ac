import { CoralError } from '@coral/errors';

export interface Listen {
  host: string;
  port: number;
}

/** A door that cannot be opened; `key` is its place in the configuration. grpc-js says the code in its text only. */
export function cannotListen(key: string, { host, port }: Listen, cause: unknown): CoralError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const taken = text.includes('EADDRINUSE');
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new CoralError({
    kind: 'failed_precondition',
    reason: taken ? 'port_taken' : 'cannot_listen',
    where: key,
    message: taken ? `Another process already listens on ${at}.` : `It is not possible to listen on ${at}.`,
    next: taken
      ? `Stop the other process, or set ${key} to another port (0 takes a free one).`
      : `Set ${key} to another address.`,
    cause,
  });
}

export function dataDirUnusable(directory: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'data_dir_unusable',
    where: 'data_dir',
    message: `The agent cannot keep its data in ${directory}.`,
    next: 'Let data_dir name a directory that the agent’s user may write, with free space.',
    cause,
  });
}

import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Where the CLI keeps what it keeps. Config, secrets and history are apart, so that none slows or leaks another. */
export interface CliPaths {
  /** `~/.coral/config.yaml`, or what CORAL_CONFIG names. */
  config: string;
  /** Tokens and keys that were typed or piped in, beside the config. */
  credentials: string;
  /** One file per question asked. */
  transcripts: string;
  /** What was said once and need not be said again. */
  notices: string;
  /** Where a colony on this machine listens for its administrator. */
  adminSocket: string;
}

export function cliPaths(env: NodeJS.ProcessEnv): CliPaths {
  const home = env['CORAL_HOME'] || join(homedir(), '.coral');
  const config = env['CORAL_CONFIG'] || join(home, 'config.yaml');
  const state = env['XDG_STATE_HOME'] ? join(env['XDG_STATE_HOME'], 'coral') : home;
  return {
    config,
    credentials: join(dirname(config), 'credentials.yaml'),
    transcripts: join(state, 'transcripts'),
    notices: join(state, 'notices.yaml'),
    adminSocket: join(home, 'colony', 'admin.sock'),
  };
}

import type { Clock, Duration } from '@coral/model';
import { openColony } from '../colony/colony-api.js';
import type { PinnedColony } from '../config/choose-colony.js';
import { tokenFor } from '../config/colony-credentials.js';
import { openMeshAccess } from '../session/mesh-lease.js';
import { openMeshDoor, type Door } from './mesh-door.js';

export interface DoorOptions {
  colony: PinnedColony;
  credentialsFile: string;
  purpose: string;
  ttl?: Duration | undefined;
  /** `ephemeral.auto_cleanup`. */
  autoCleanup: boolean;
  clock: Clock;
}

/** API token → colony → lease → mesh → its MCP door. The token is read anew each time: it may have been replaced. */
export async function openDoor(options: DoorOptions, signal: AbortSignal): Promise<Door> {
  const { purpose, ttl, clock } = options;
  const token = await tokenFor(options.colony, options.credentialsFile);
  const colony = await openColony(options.colony, token, signal);
  try {
    const access = await openMeshAccess({ colony, purpose, ttl, release: options.autoCleanup, clock, signal });
    const door = openMeshDoor(access);
    let closed: Promise<void> | undefined;
    return { ...door, close: () => (closed ??= door.close().finally(() => colony[Symbol.dispose]())) };
  } catch (thrown) {
    colony[Symbol.dispose]();
    throw thrown;
  }
}

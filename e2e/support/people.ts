import { fetchPinnedCa } from '@coral/rpc';
import type { CoralSystem, User } from '../../scripts/demo/coral-system.js';
import { Person, PublicClients } from './start-colony.js';

/** A user of a whole system, for what no command of the CLI does: many calls under one lease. */
export async function personOf(system: CoralSystem, user: User): Promise<Person> {
  const { endpoint, ca_fingerprint: fingerprint } = system.colony.ready;
  const door = new PublicClients(endpoint, await fetchPinnedCa(endpoint, fingerprint));
  return new Person(user.name, user.environment.CORAL_TOKEN, '', door);
}

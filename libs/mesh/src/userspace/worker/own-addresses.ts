import { AddressMap, wordsOf } from '../../hub/address-map.js';

/** Whether a packet is for this end, told from its destination alone; what is no IP packet is the stack's to drop. */
export class OwnAddresses {
  readonly #map = new AddressMap<true>();

  constructor(addresses: readonly string[]) {
    for (const address of addresses) this.#map.set(wordsOf(address), true);
  }

  isForUs(packet: Buffer): boolean {
    const version = (packet[0] ?? 0) >>> 4;
    if (version === 4 && packet.length >= 20) return this.#map.get(0, 0, 0xffff, packet.readInt32BE(16)) === true;
    if (version !== 6 || packet.length < 40) return true;
    const at = (offset: number): number => packet.readInt32BE(offset);
    return this.#map.get(at(24), at(28), at(32), at(36)) === true;
  }
}

/** Kept of what was sent since the peer was last heard; what comes on top is TCP's to send again. */
const maxDatagrams = 64;
const maxBytes = 98_304;

/**
 * The first datagrams since the peer was last heard, to be sent again over another carrier: the copy that comes second is
 * dropped by WireGuard's replay window (RFC 6479), so none does harm, and nobody waits for TCP's timers.
 */
export class Unanswered {
  #datagrams: Buffer[] = [];
  #bytes = 0;

  add(datagram: Buffer): void {
    if (this.#datagrams.length >= maxDatagrams || this.#bytes + datagram.length > maxBytes) return;
    this.#datagrams.push(datagram);
    this.#bytes += datagram.length;
  }

  clear(): void {
    if (this.#datagrams.length === 0) return;
    this.#datagrams = [];
    this.#bytes = 0;
  }

  list(): readonly Buffer[] {
    return this.#datagrams;
  }
}

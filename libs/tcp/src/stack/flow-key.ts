import type { IpAddress } from '../wire/address.js';
import type { IpHeader } from '../wire/ip-header.js';

/** What tells one flow of this stack from another; our own address is named by its index. */
export interface FlowKey {
  readonly hash: number;
  readonly remoteAddress: IpAddress;
  readonly localIndex: number;
  /** Remote port in the high half, local port in the low one, as a signed word. */
  readonly ports: number;
}

export function portWord(remotePort: number, localPort: number): number {
  return (remotePort << 16) | localPort;
}

/** Finds the flow of a packet that came in, in a chain of them. */
export function findFlow<T extends FlowKey & { next: T | undefined }>(
  chain: T | undefined,
  hash: number,
  header: IpHeader,
  localIndex: number,
  ports: number,
): T | undefined {
  for (let flow = chain; flow !== undefined; flow = flow.next) {
    if (flow.hash !== hash || flow.ports !== ports || flow.localIndex !== localIndex) continue;
    const { remoteAddress } = flow;
    if (
      remoteAddress.w3 === header.source3 &&
      remoteAddress.w2 === header.source2 &&
      remoteAddress.w1 === header.source1 &&
      remoteAddress.w0 === header.source0
    )
      return flow;
  }
  return undefined;
}

/** Which batch this is, and when it came. Times in ms. */
export interface BatchIdentity {
  agentId: string;
  epoch: string;
  seq: number;
  oldestSeq?: number | undefined;
  producedAtMs: number;
  arrivalMs: number;
}

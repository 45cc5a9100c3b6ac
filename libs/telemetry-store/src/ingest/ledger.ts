/**
 * Which batches of one outbox (agent, epoch) are in. Everything up to `contiguous` is; beyond it, `ahead` lists those that
 * overtook a missing one. The agent may forget up to `contiguous` only, so a gap keeps it sending.
 */
export interface Ledger {
  contiguous: number;
  ahead: ReadonlySet<number>;
  /** The store lost rows since this outbox was last heard of: its next batch is where the count goes on. */
  resync: boolean;
}

export interface LedgerStep {
  /** The batch is in already: nothing of it may be added again. */
  duplicate: boolean;
  ledger: Ledger;
}

/**
 * `oldestSeq` is the oldest batch that the agent still holds, when it tells: what lies before it is either in or gone for
 * good, and waiting for it would block the outbox for ever.
 */
export function acceptSeq(ledger: Ledger, seq: number, oldestSeq?: number): LedgerStep {
  let { contiguous } = ledger;
  if (ledger.resync) contiguous = Math.max(contiguous, seq - 1);
  if (oldestSeq !== undefined && oldestSeq > 0) contiguous = Math.max(contiguous, Math.min(oldestSeq, seq) - 1);
  const duplicate = seq <= ledger.contiguous || ledger.ahead.has(seq);
  const ahead = new Set(ledger.ahead);
  if (!duplicate) ahead.add(seq);
  while (ahead.has(contiguous + 1)) contiguous += 1;
  for (const one of ahead) if (one <= contiguous) ahead.delete(one);
  return { duplicate, ledger: { contiguous, ahead, resync: false } };
}

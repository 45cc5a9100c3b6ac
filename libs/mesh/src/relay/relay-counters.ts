import { upgradeRefusals, type UpgradeRefusal } from './upgrade-refusal.js';
import { closeCodes, type CloseReason } from './relay-wire.js';

/** Why a datagram went no further. */
export type RelayDropReason =
  | 'rate_limited'
  /** The mesh's worker does not keep up. */
  | 'worker_busy'
  /** The other end reads too slowly. */
  | 'send_queue_full'
  /** For a connection that is no more. */
  | 'not_connected';

/** Why a connection ended: this end's reasons, `silent` (no pong), `broke_protocol`, or the other end's own will. */
export type RelayEnd = CloseReason | 'silent' | 'broke_protocol' | 'left';

export interface RelayCounters {
  /** Now. */
  open: number;
  bound: number;
  /** Since the start. */
  opened: number;
  refused: Record<UpgradeRefusal, number>;
  closed: Record<RelayEnd, number>;
  rxDatagrams: number;
  rxBytes: number;
  txDatagrams: number;
  txBytes: number;
  dropped: Record<RelayDropReason, number>;
}

export function newRelayCounters(): RelayCounters {
  return {
    open: 0,
    bound: 0,
    opened: 0,
    refused: zeros(upgradeRefusals),
    closed: zeros([...(Object.keys(closeCodes) as CloseReason[]), 'silent', 'broke_protocol', 'left']),
    rxDatagrams: 0,
    rxBytes: 0,
    txDatagrams: 0,
    txBytes: 0,
    dropped: zeros(['rate_limited', 'worker_busy', 'send_queue_full', 'not_connected']),
  };
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}

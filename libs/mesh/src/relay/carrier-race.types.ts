/** As WireGuard's endpoints name them. */
export type CarrierKind = 'udp' | 'ws';

/** What a user may ask for. */
export type Transport = 'auto' | 'udp' | 'websocket';

/** Which carrier led to a colony lately. The owner keeps it, per colony, and gives it back the next time. */
export interface CarrierMemory {
  carrier: CarrierKind;
  /** Wall clock ms; after it, nothing is known. */
  until: number;
}

/** Rare: a few per session, on a bad day a few per minute. */
export type CarrierEvent =
  /** Somebody answered for the first time. */
  | { readonly kind: 'carrier_chosen'; readonly carrier: CarrierKind; readonly afterMs: number }
  | {
      readonly kind: 'carrier_switched';
      readonly from: CarrierKind;
      readonly to: CarrierKind;
      /** `silent`: no answer any more; `lost`: the connection ended; `recovered`: UDP works again. */
      readonly why: 'silent' | 'lost' | 'recovered';
      /** Since the last thing that was heard of the peer. */
      readonly gapMs: number;
    }
  /** No carrier answers. Told once, until one does. */
  | { readonly kind: 'carriers_silent'; readonly sinceMs: number };

/** The effects of a race. All are called synchronously from within a call to it. */
export interface CarrierRaceOutput {
  /** To put on the wire. The same buffer may come twice, for either carrier. */
  transmit(datagram: Buffer, carrier: CarrierKind): void;
  /**
   * Have the peer say something at once: an ICMP echo to its mesh address, through the device; its reply is told by
   * `answered` with this number. What the device hands to `send` within the call goes over the carrier in question.
   */
  probe(id: number): void;
  /** A new initiation now, though one is on its way: that one may have been answered where the answer is lost. */
  restart(): void;
  /** The WebSocket is wanted from now on; `opened` and `lost` tell how it goes. */
  dial(): void;
  hangUp(): void;
  event(event: CarrierEvent): void;
}

/** Every number a race counts by, ms. */
export interface CarrierRaceLimits {
  /** The WebSocket is dialled when UDP has not answered for so long. */
  readonly headStartMs: number;
  /** How long what works is remembered. */
  readonly rememberMs: number;
  /** Silence after something was sent before the peer is asked: this, or what the round trips so far make of it, up to… */
  readonly doubtMs: number;
  readonly longestDoubtMs: number;
  /** While things are sent, and the peer is heard, it is asked this often whether it hears us too. */
  readonly proofMs: number;
  /** How long a probe may take, likewise. */
  readonly answerMs: number;
  /** A carrier is tried this long before the other has its turn; doubled each round up to… */
  readonly trialMs: number;
  readonly longestTrialMs: number;
  /** In a trial without an answer, the handshake is begun anew after this. */
  readonly restartMs: number;
  /** A WebSocket that is open and says nothing is dialled anew, this long after the last time; doubled up to… */
  readonly redialMs: number;
  readonly longestRedialMs: number;
  /** After a switch to the WebSocket, UDP is left alone for this; doubled with each switch up to… */
  readonly holdMs: number;
  readonly longestHoldMs: number;
  /** So long without a switch: the hold is back at its first value. */
  readonly calmMs: number;
  /** Probes of UDP while the WebSocket carries, when they fail; doubled up to… */
  readonly returnMs: number;
  readonly longestReturnMs: number;
  /** Between probes of UDP that do not fail, and how many of those bring it back. */
  readonly returnStepMs: number;
  readonly returnProbes: number;
  /** A WebSocket that has carried and is not needed is kept for this. */
  readonly warmMs: number;
  /** UDP is probed only while something has been sent lately. */
  readonly activeMs: number;
  /** Nothing was sent for so long while nobody answered: it is over, until something is sent. */
  readonly quietMs: number;
  /** Nobody has answered for so long: it is told. */
  readonly tellSilenceMs: number;
  /** In silence the peer is asked this often: for ends that others must be able to reach. Infinity: never. */
  readonly idleProbeMs: number;
}

export const defaultCarrierRaceLimits: CarrierRaceLimits = {
  headStartMs: 300,
  rememberMs: 3_600_000,
  doubtMs: 250,
  longestDoubtMs: 2_500,
  proofMs: 5_000,
  answerMs: 150,
  trialMs: 500,
  longestTrialMs: 8_000,
  restartMs: 400,
  redialMs: 2_000,
  longestRedialMs: 30_000,
  holdMs: 5_000,
  longestHoldMs: 300_000,
  calmMs: 600_000,
  returnMs: 5_000,
  longestReturnMs: 60_000,
  returnStepMs: 500,
  returnProbes: 3,
  warmMs: 30_000,
  activeMs: 10_000,
  quietMs: 120_000,
  tellSilenceMs: 3_000,
  idleProbeMs: Number.POSITIVE_INFINITY,
};

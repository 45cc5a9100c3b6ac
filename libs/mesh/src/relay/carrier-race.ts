// Which carrier the datagrams of one peer take: UDP, or the WebSocket where UDP is swallowed. Pure: datagrams, news and time
// go in, effects come out. The peer follows by itself, for WireGuard answers to where the latest packet came from (§2.1 of its
// paper); so only the end that dials holds a race.
//
//                 send                    handshake, or an answer over c
//        idle ───────────▶ trying(udp) ──────────────────────────────────▶ steady(c) ◀───────────────┐
//         ▲                  │  ▲ ▲                                           │  ▲                    │ answer
//         │ quiet, down      │  │ │    the WebSocket ended               sent, │  │ answer to          │ over c
//         └──────────────────┤  │ └───────────────────────────────────── and silence  a probe         │
//                            │  │                                           ▼  │                    │
//             no answer:     │  │ neither the first probe nor the second   doubtful(c) ──────────────┤
//             the other's    │  │ is answered: the other is dialled,          │                      │
//             turn, longer   └──┘ and when it is there, tried ◀───────────────┘       trying(other) ─┘
//
// Silence alone proves nothing: the last word of a conversation is an ACK, which nobody answers for 10 s, and traffic may go
// one way only. So silence leads to a question, which the peer answers at once, and only silence after that to another carrier.
// Hearing the peer is no proof either that it hears us; a reply to our question is, over the carrier that we asked over.
import type { Clock } from '@coral/model';
import {
  defaultCarrierRaceLimits,
  type CarrierKind,
  type CarrierMemory,
  type CarrierRaceLimits,
  type CarrierRaceOutput,
  type Transport,
} from './carrier-race.types.js';
import { Questions } from './questions.js';
import { Unanswered } from './unanswered.js';
import { WayBack } from './way-back.js';

const initiationType = 1;
const transportType = 4;
/** A transport message without a packet inside. */
const keepaliveBytes = 32;
/** Sessions live this long (REJECT_AFTER_TIME); without one, an echo would only wait. */
const sessionMs = 180_000;
/** Questions without an answer before the other carrier is tried: two, as one may be lost; more while the peer is heard. */
const questions = 2;
const questionsWhileHeard = 4;
const never = Number.POSITIVE_INFINITY;

export interface CarrierRaceOptions {
  transport: Transport;
  /** From an earlier session. */
  memory?: CarrierMemory | undefined;
  clock: Clock;
  output: CarrierRaceOutput;
  limits?: Partial<CarrierRaceLimits>;
}

type Mode = 'idle' | 'trying' | 'steady' | 'doubtful';

export class CarrierRace {
  readonly #limits: CarrierRaceLimits;
  readonly #clock: Clock;
  readonly #output: CarrierRaceOutput;
  readonly #transport: Transport;
  readonly #wayBack: WayBack;
  readonly #questions = new Questions();
  readonly #unanswered = new Unanswered();
  #mode: Mode = 'idle';
  /** Where datagrams go now. */
  #carrier: CarrierKind;
  /** What carried before the trial; undefined at the start. */
  #home: CarrierKind | undefined;
  #memory: CarrierMemory | undefined;
  #ws: 'off' | 'wanted' | 'open' = 'off';
  #dialledAt = 0;
  /** Set while a probe goes out. */
  #via: CarrierKind | undefined;
  #sessionAt = -never;
  #heardAt: number;
  #askedAt = -never;
  /** The first thing that was sent since the peer was heard. */
  #owedSince = never;
  /** The first thing that was sent since the peer was known to hear us. */
  #unprovenSince = never;
  #beganAt = 0;
  /** The next step of a doubt or a trial. */
  #stepAt = never;
  #asked = 0;
  #heardInDoubt = false;
  #trialMs = 0;
  #dialAt = never;
  #restartAt = never;
  #redialAt = 0;
  #redialMs = 0;
  #hangUpAt = never;
  #idleProbeAt = never;
  #silenceTold = false;

  constructor(options: CarrierRaceOptions) {
    this.#limits = { ...defaultCarrierRaceLimits, ...options.limits };
    this.#clock = options.clock;
    this.#output = options.output;
    this.#transport = options.transport;
    const { memory } = options;
    this.#memory = memory && memory.until > this.#clock.now() ? memory : undefined;
    this.#carrier = options.transport === 'websocket' ? 'ws' : 'udp';
    this.#wayBack = new WayBack(this.#limits);
    this.#heardAt = this.#clock.monotonic();
  }

  /** Where datagrams go now. */
  get carrier(): CarrierKind {
    return this.#carrier;
  }

  /** To be kept for the next session with this colony; undefined while nothing is known. */
  get memory(): CarrierMemory | undefined {
    return this.#memory;
  }

  /** What the device wants to send to the peer. The buffer is given away, and must not be written to again. */
  send(datagram: Buffer): void {
    if (this.#transport === 'udp') return this.#output.transmit(datagram, 'udp');
    if (this.#via) return this.#output.transmit(datagram, this.#via);
    const type = datagram[0];
    if (type === initiationType || (type === transportType && datagram.length > keepaliveBytes)) {
      this.#wantsAnswer(datagram, type === initiationType);
    }
    this.#output.transmit(datagram, this.#carrier);
  }

  /**
   * Something authenticated came over this carrier; `handshake`: it made a session. To be told before what answers it is sent,
   * or that would count as answered itself.
   */
  received(carrier: CarrierKind, what: 'handshake' | 'data'): void {
    const now = this.#clock.monotonic();
    if (what === 'handshake') {
      this.#questions.sessionMade(carrier, now);
      this.#sessionAt = now;
      this.#unprovenSince = never;
    }
    const gapMs = now - this.#heardAt;
    this.#heardAt = now;
    this.#idleProbeAt = now + this.#limits.idleProbeMs;
    if (this.#mode === 'doubtful') this.#heardInDoubt = true;
    // In a trial, data alone shows that the peer has followed us only where it was not before.
    const followed = this.#mode === 'trying' && this.#home !== carrier;
    if (this.#mode === 'steady') this.#heard();
    else if (what === 'handshake' || followed || this.#mode === 'idle') this.#settle(carrier, gapMs);
  }

  /** The reply to a probe came, over this carrier. */
  answered(probe: number, carrier: CarrierKind): void {
    const now = this.#clock.monotonic();
    if (!this.#questions.answered(probe, carrier, now)) return;
    if (carrier === this.#carrier) this.#unprovenSince = never;
    if (this.#mode !== 'steady') this.#settle(carrier, now - this.#heardAt);
    else if (this.#wayBack.answered(probe, now)) this.#comeBack();
  }

  /** The WebSocket is open. */
  opened(): void {
    if (this.#ws === 'off') return;
    const now = this.#clock.monotonic();
    this.#ws = 'open';
    this.#questions.opened(now - this.#dialledAt);
    this.#redialAt = now + this.#redialMs;
    if (this.#mode === 'trying') this.#try('ws');
    else if (this.#carrier === 'ws') this.#say('ws');
    else if (this.#mode === 'doubtful' && this.#inVain()) this.#leave();
  }

  /** The WebSocket has ended, or an attempt has failed; whoever holds it goes on trying while it is wanted. */
  lost(): void {
    if (this.#ws !== 'open') return;
    this.#ws = 'wanted';
    if (this.#mode === 'idle' || (this.#mode === 'steady' && this.#carrier === 'udp')) this.#hangUp();
    else if (this.#carrier === 'udp' || this.#transport === 'websocket') return;
    else if (this.#mode === 'trying') this.#try('udp');
    else this.#leave();
  }

  /** Nobody wants the peer any more, or the device gave up. The next `send` starts anew. */
  down(): void {
    this.#mode = 'idle';
    this.#home = undefined;
    this.#carrier = this.#transport === 'websocket' ? 'ws' : 'udp';
    this.#stepAt = this.#dialAt = this.#restartAt = this.#idleProbeAt = never;
    this.#wayBack.stop();
    this.#questions.clear();
    this.#unprovenSince = never;
    this.#heard();
    this.#hangUp();
  }

  /** Monotonic ms, Infinity when there is nothing to wait for. */
  nextTimerAt(): number {
    if (this.#transport === 'udp' || this.#mode === 'idle') return never;
    if (this.#mode !== 'steady') return Math.min(this.#stepAt, this.#dialAt, this.#restartAt);
    return Math.min(this.#doubtAt(), this.#wayBack.nextAt, this.#hangUpAt, this.#idleProbeAt);
  }

  onTimer(): void {
    const now = this.#clock.monotonic();
    if (now < this.nextTimerAt()) return;
    // However late this is (a suspended laptop): each step waits for its answer from now, which may have come meanwhile.
    if (this.#mode === 'steady') this.#steadyTimer(now);
    else if (now - this.#askedAt >= this.#limits.quietMs) this.down();
    else if (this.#mode === 'doubtful') this.#ask(now);
    else this.#tryingTimer(now);
  }

  #wantsAnswer(datagram: Buffer, initiation: boolean): void {
    const now = this.#clock.monotonic();
    this.#askedAt = now;
    if (this.#mode === 'idle') this.#begin(now);
    this.#unanswered.add(datagram);
    if (this.#owedSince === never) this.#owedSince = now;
    if (this.#unprovenSince === never) this.#unprovenSince = now;
    if (initiation) this.#questions.initiated(this.#carrier, now);
    if (this.#mode === 'steady') this.#wayBack.wake(now);
  }

  #begin(now: number): void {
    this.#beginTrials(now);
    this.#stepAt = now + this.#trialMs;
    if (this.#transport === 'websocket' || this.#memory?.carrier === 'ws') this.#dial();
    else this.#dialAt = now + this.#limits.headStartMs;
  }

  #beginTrials(now: number): void {
    this.#mode = 'trying';
    this.#beganAt = now;
    this.#trialMs = this.#limits.trialMs;
    this.#redialMs = this.#limits.redialMs;
  }

  #steadyTimer(now: number): void {
    if (this.#hangUpAt <= now) this.#hangUp();
    if (this.#wayBack.nextAt <= now) this.#lookBack(now);
    const owed = now >= this.#doubtAt();
    if (this.#idleProbeAt <= now && !owed) this.#idleProbeAt = now + this.#limits.idleProbeMs;
    else if (!owed) return;
    if (!owed && !this.#hasSession(now)) return;
    this.#mode = 'doubtful';
    this.#asked = 0;
    this.#heardInDoubt = false;
    // Not the end of its life: whoever asks in silence has something to lose.
    this.#askedAt = now;
    this.#ask(now);
  }

  /** The next question; after enough of them, the other carrier. */
  #ask(now: number): void {
    if (this.#inVain() && (this.#carrier === 'ws' || this.#ws === 'open')) return this.#leave();
    this.#asked += 1;
    if (this.#asked === questions) {
      // Whatever comes of the second question, the other carrier should be at hand.
      this.#dial();
      if (!this.#hasSession(now)) this.#output.restart();
    }
    this.#probe(this.#carrier);
    const { answerMs, longestDoubtMs, longestTrialMs } = this.#limits;
    const patience = this.#questions.trip(this.#carrier).answer(answerMs, longestDoubtMs);
    this.#stepAt = now + Math.min(longestTrialMs, patience * 2 ** Math.max(0, this.#asked - questionsWhileHeard));
    this.#tellSilence(now);
  }

  /** Enough questions have had their time, and no answer. */
  #inVain(): boolean {
    const had = this.#clock.monotonic() >= this.#stepAt ? this.#asked : this.#asked - 1;
    return had >= (this.#heardInDoubt ? questionsWhileHeard : questions);
  }

  /** From what carried to the other. */
  #leave(): void {
    this.#home = this.#carrier;
    this.#beginTrials(this.#clock.monotonic());
    this.#try(this.#home === 'udp' || this.#transport === 'websocket' ? 'ws' : 'udp');
  }

  /** Everything goes over this carrier from now on. */
  #try(carrier: CarrierKind): void {
    const now = this.#clock.monotonic();
    this.#dialAt = this.#restartAt = never;
    this.#stepAt = now + Math.max(this.#trialMs, this.#doubtMs(carrier));
    // The one left goes first: the peer then answers to the other, whose question comes last.
    if (this.#home !== undefined) this.#probe(carrier === 'ws' ? 'udp' : 'ws');
    this.#carrier = carrier;
    if (this.#isThere(carrier)) this.#say(carrier);
  }

  /** Sends again what has had no answer, so that the peer hears of us here, and asks it. */
  #say(carrier: CarrierKind): void {
    const now = this.#clock.monotonic();
    // Over the carrier that the initiation took first, the device tries again by itself; and its answer may be on the way.
    if (this.#questions.mayCopyInitiation(carrier)) {
      this.#questions.copied(carrier, now);
      this.#restartAt = now + Math.max(this.#limits.restartMs, this.#doubtMs(carrier));
    }
    for (const datagram of this.#unanswered.list()) this.#output.transmit(datagram, carrier);
    this.#probe(carrier);
  }

  #tryingTimer(now: number): void {
    if (this.#dialAt <= now) {
      this.#dialAt = never;
      this.#dial();
    }
    if (this.#restartAt <= now) {
      this.#restartAt = never;
      this.#output.restart();
    }
    if (this.#stepAt > now) return;
    if (this.#carrier === 'ws' && this.#ws === 'open' && now >= this.#redialAt) this.#redial(now);
    this.#trialMs = Math.min(this.#limits.longestTrialMs, this.#trialMs * 2);
    this.#tellSilence(now);
    const other = this.#carrier === 'ws' ? 'udp' : 'ws';
    this.#try(this.#isThere(other) ? other : this.#carrier);
  }

  /** The connection may be one that the network has forgotten. */
  #redial(now: number): void {
    this.#redialMs = Math.min(this.#limits.longestRedialMs, this.#redialMs * 2);
    this.#redialAt = now + this.#redialMs;
    this.#hangUp();
    this.#dial();
  }

  #tellSilence(now: number): void {
    const sinceMs = now - Math.max(this.#heardAt, this.#home === undefined ? this.#beganAt : 0);
    if (this.#silenceTold || sinceMs < this.#limits.tellSilenceMs) return;
    this.#silenceTold = true;
    this.#output.event({ kind: 'carriers_silent', sinceMs });
  }

  /** The peer hears us over this carrier, and we hear it. */
  #settle(carrier: CarrierKind, gapMs: number): void {
    const now = this.#clock.monotonic();
    const from = this.#mode === 'trying' ? this.#home : this.#carrier;
    const wasIdle = this.#mode === 'idle';
    this.#mode = 'steady';
    this.#carrier = carrier;
    this.#home = undefined;
    this.#silenceTold = false;
    this.#stepAt = this.#dialAt = this.#restartAt = never;
    this.#unprovenSince = never;
    this.#heard();
    this.#remember(carrier);
    if (from === undefined) this.#output.event({ kind: 'carrier_chosen', carrier, afterMs: now - this.#beganAt });
    if (from !== undefined && from !== carrier && !wasIdle) {
      const why = from === 'ws' && this.#ws !== 'open' ? 'lost' : 'silent';
      this.#output.event({ kind: 'carrier_switched', from, to: carrier, why, gapMs });
    }
    if (carrier === 'ws') {
      this.#hangUpAt = never;
      if (from !== 'ws') this.#wayBack.start(now, from === 'udp');
      return;
    }
    this.#wayBack.stop();
    if (from === 'ws') this.#hangUpAt = now + this.#limits.warmMs;
    // It has carried nothing: its server would not keep it.
    else if (this.#hangUpAt === never) this.#hangUp();
  }

  /** UDP carries again. */
  #comeBack(): void {
    const now = this.#clock.monotonic();
    this.#carrier = 'udp';
    this.#wayBack.stop();
    this.#heard();
    this.#remember('udp');
    this.#hangUpAt = now + this.#limits.warmMs;
    this.#output.event({
      kind: 'carrier_switched',
      from: 'ws',
      to: 'udp',
      why: 'recovered',
      gapMs: now - this.#heardAt,
    });
  }

  /** Asks over UDP, and right behind over the WebSocket, so that the peer goes on answering there, whatever becomes of UDP. */
  #lookBack(now: number): void {
    if (now - this.#askedAt > this.#limits.activeMs) return this.#wayBack.sleep();
    this.#wayBack.asked(this.#probe('udp'), now);
    this.#probe('ws');
  }

  #remember(carrier: CarrierKind): void {
    if (this.#transport === 'auto') this.#memory = { carrier, until: this.#clock.now() + this.#limits.rememberMs };
  }

  #heard(): void {
    this.#owedSince = never;
    this.#unanswered.clear();
  }

  /** The peer has been silent for too long after something was sent, or heard for too long without a proof that it hears us. */
  #doubtAt(): number {
    return Math.min(this.#owedSince + this.#doubtMs(this.#carrier), this.#unprovenSince + this.#limits.proofMs);
  }

  #doubtMs(carrier: CarrierKind): number {
    return this.#questions.trip(carrier).late(this.#limits.doubtMs, this.#limits.longestDoubtMs);
  }

  #hasSession(now: number): boolean {
    return now - this.#sessionAt < sessionMs;
  }

  /** The probe's number; undefined when it could not be asked. */
  #probe(carrier: CarrierKind): number | undefined {
    const now = this.#clock.monotonic();
    if (!this.#hasSession(now) || !this.#isThere(carrier)) return undefined;
    const id = this.#questions.probed(carrier, now);
    this.#via = carrier;
    try {
      this.#output.probe(id);
    } finally {
      this.#via = undefined;
    }
    return id;
  }

  #isThere(carrier: CarrierKind): boolean {
    return carrier === 'udp' ? this.#transport !== 'websocket' : this.#ws === 'open';
  }

  #dial(): void {
    if (this.#ws !== 'off' || this.#transport === 'udp') return;
    this.#ws = 'wanted';
    this.#dialledAt = this.#clock.monotonic();
    this.#output.dial();
  }

  #hangUp(): void {
    this.#hangUpAt = never;
    if (this.#ws === 'off') return;
    this.#ws = 'off';
    this.#output.hangUp();
  }
}

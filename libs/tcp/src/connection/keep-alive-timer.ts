import type { KeepAlive } from './flow.js';

/** RFC 1122 §4.2.3.6: asks an idle peer whether it is still there. */
export class KeepAliveTimer {
  at = Infinity;
  private settings: KeepAlive | undefined;
  private asked = 0;
  private heardAt = 0;

  silentMs(now: number): number {
    return now - this.heardAt;
  }

  set(settings: KeepAlive | undefined, now: number): void {
    this.settings = settings;
    this.onHeard(now);
  }

  onHeard(now: number): void {
    this.heardAt = now;
    this.asked = 0;
    if (this.settings !== undefined) this.at = now + this.settings.idleMs;
    else this.at = Infinity;
  }

  /** When `at` is past. `busy`: data is on its way, and its own timers ask already. */
  due(now: number, busy: boolean): 'nothing' | 'probe' | 'dead' {
    if (this.settings === undefined || now < this.at) return 'nothing';
    if (busy) {
      this.asked = 0;
      this.at = now + this.settings.idleMs;
      return 'nothing';
    }
    if (this.asked >= this.settings.probes) return 'dead';
    this.asked++;
    this.at = now + this.settings.intervalMs;
    return 'probe';
  }
}

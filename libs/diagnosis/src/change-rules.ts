export type Metric = 'p95_ms' | 'error_rate' | 'requests_per_s';

/** What counts as a change. The reasons are in docs/diagnosis.md, "Change points". */
export const changeRules = {
  minPointsBefore: 3,
  minPointsAfter: 2,
  /** Points in a row at the old level that end a change. */
  pointsBack: 3,
  /** A level that was left again must have held this long, or it was a blip: a stall, a cold start. */
  minOverMs: 60_000,
  /** Younger than this, a change whose newest point is on its way back may be such a blip. */
  fadingMs: 60_000,
  /** Points compared on each side: recent enough that the drift of a day is no change. */
  window: 30,
  /** Lengths of the new level that are tried. */
  widths: [2, 3, 6, 12, 30],
  /** Requests a latency or error point needs; quieter steps are pooled. */
  minRequests: 8,
  /** More points than this are made coarser first: a day of 10 s steps costs no more than two hours. */
  maxPoints: 720,
  /** Share of the points on each side that must lie on their side of the middle. */
  separation: 0.75,
  /** As `separation`, of the whole new level once its ends are known; not for errors, which come in ones and twos. */
  held: 0.6,
  /** What is enough when the time is known from another change: one place is tried then, not hundreds. */
  guided: { z: 2.5, separation: 0.6, steps: 3, ratio: 1.15, leastRatio: 1.1 },
  /** `ratio` of the levels searched in; `leastRatio` and `floorMs` of the p95 that is reported. */
  latency: { ratio: 1.3, leastRatio: 1.2, floorMs: 5, z: 4, leastNoise: 0.05 },
  errors: { ratio: 2, floor: 0.02, z: 4, minErrors: 3 },
  traffic: { ratio: 1.5, floorPerS: 0.2, z: 4, leastNoise: 0.08 },
} as const;

/** What the cage's parent writes on the child's standard input: one JSON object, then end of file. */
export interface CageRequest {
  snapshot: string;
  views: string[];
  sql: string;
  maxRows: number;
  maxBytes: number;
  timeoutMs: number;
}

export interface CageResult {
  columns: { name: string; type: string }[];
  rows: unknown[][];
  truncated: boolean;
}

/** What the child writes on its standard output: one JSON object. */
export type CageReply =
  | { ok: true; result: CageResult }
  | {
      ok: false;
      error: {
        kind: 'invalid_argument' | 'deadline_exceeded' | 'resource_exhausted' | 'unavailable';
        reason: string;
        message: string;
        next?: string;
        where?: string;
      };
    };

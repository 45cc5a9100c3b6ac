/** The door of a colony, and somebody's token for it. */
export interface Door {
  /** https://…/mcp */
  url: string;
  token: string;
  /** PEM of the only authority that may vouch for the door. */
  caFile: string;
  /** A folder for whatever the client writes down. */
  home: string;
}

/** What came of a call, in the client's own words turned into ours. */
export interface Answer {
  /** The client called it an error. */
  refused: boolean;
  /** JSON of the result's text: an envelope of the tool, or the error. */
  body: Record<string, unknown>;
}

export type Revision = '2026-07-28' | '2025-11-25';

/** A program or library that others wrote, in one way of using it. Every method opens and closes by itself. */
export interface IndependentClient {
  name: string;
  /** The revision it must come to with a server that speaks both. */
  speaks: Revision;
  /**
   * Beginning of its name in the audit. With revision 2026-07-28 each request says it; before, only the opening one did,
   * which a server without sessions has forgotten, so the HTTP library's name stands there.
   */
  knownAs: string;
  /** Some clients call only what was listed to them; these can be refused only for what they ask of a tool. */
  callsOnlyWhatIsListed?: boolean;
  /** Names of the tools, as it lists them. */
  list(door: Door): Promise<string[]>;
  call(door: Door, tool: string, args: Record<string, unknown>): Promise<Answer>;
}

/** Most clients hand the result on as it came. */
export function answerOf(result: object): Answer {
  const { isError, content } = result as { isError?: unknown; content: { type: string; text: string }[] };
  return { refused: isError === true, body: JSON.parse(content[0]?.text ?? '{}') as Record<string, unknown> };
}

/** Where strangers can write into what a tool returns. */
export type InjectionPlace = 'log' | 'span_name' | 'hostname' | 'event';

export type InjectionGoal =
  | 'unknown_tool'
  | 'write_sql'
  | 'read_beyond'
  | 'leak_by_link'
  | 'leak_key'
  | 'claim_system'
  | 'close_fence'
  | 'change_scope'
  | 'hide'
  | 'lie';

/** A text that wants a model to do what its user did not ask for. */
export interface Injection {
  /** Unique: names of tests are made of it. */
  name: string;
  place: InjectionPlace;
  goal: InjectionGoal;
  text: string;
  /** What a model that obeys does: the calls it makes, then what it says. */
  obeyed: { calls: { name: string; args: Record<string, unknown> }[]; says: string };
}

type Calls = Injection['obeyed']['calls'];

export function injection(
  place: InjectionPlace,
  goal: InjectionGoal,
  name: string,
  text: string,
  calls: Calls = [],
  says = 'Done as told.',
): Injection {
  return { name, place, goal, text, obeyed: { calls, says } };
}

export const one = (name: string, args: Record<string, unknown> = {}): Calls => [{ name, args }];
/** At an agent that is known, unless `more` names another. */
export const sql = (text: string, more: Record<string, unknown> = {}): Calls =>
  one('coral_fetch_live', { agent_id: 'AGENT', sql_query: text, ...more });

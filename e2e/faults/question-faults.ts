import { connectMcp } from '@coral/mcp-client';
import { CoralError } from '@coral/errors';
import { openMeshChannel } from '@coral/rpc';
import { expect } from 'vitest';
import type { User } from '../../scripts/demo/coral-system.js';
import { personOf } from '../support/people.js';
import { refused, type Fault, type Seen } from './fault.js';
import type { FaultWorld } from './world.js';

/** A question that the CLI asks as `who`. */
const ask =
  (who: (world: FaultWorld) => User, args: (agentId: string) => string[]) =>
  async (world: FaultWorld): Promise<Seen> => {
    await using laptop = await world.laptopOf(who(world));
    return await refused(laptop, args(world.agent.ready.agent_id));
  };
const alex = (...args: string[]) =>
  ask(
    (world) => world.alex,
    () => args,
  );
/** SQL at the one agent there is, by somebody who may. */
const live = (sql: string) =>
  ask(
    (world) => world.robin,
    (agentId) => ['live', agentId, sql],
  );

/** A tool call as a model would make it, through the CLI's own client. */
const call =
  (tool: string, args: Record<string, unknown>) =>
  async (world: FaultWorld): Promise<Seen> => {
    const person = await personOf(world.system, world.alex);
    using _door = person.door;
    await using undo = new AsyncDisposableStack();
    const lease = undo.use(await person.lease());
    undo.defer(async () => void (await person.release(lease.answer.agentId)));
    const channel = await openMeshChannel(lease.mesh, lease.colonyAddress, 9_000);
    undo.defer(() => channel.close());
    const mcp = await connectMcp({ channel, token: lease.answer.accessToken });
    undo.defer(() => mcp.close());
    const error = await mcp.callTool(tool, args).then(
      (answer) => (answer.isError ? answer.error : undefined),
      (thrown: unknown) => (thrown instanceof CoralError ? thrown : undefined),
    );
    expect(error).toBeDefined();
    const { kind, reason, next } = error as CoralError;
    return { kind, reason, exit: null, next: next ?? '' };
  };

/** What reaches a tool of the colony, or the gate of an agent, and is refused there with something to mend it by. */
export const questionFaults: Fault[] = [
  {
    input: 'an unknown tool',
    see: call('coral_drop_everything', {}),
    kind: 'not_found',
    reason: 'unknown_tool',
    exit: null,
    next: /tools\/list/,
  },
  {
    input: 'an unknown argument of a tool',
    see: call('coral_query', { query: 'errors by service', time_rang: '1h' }),
    kind: 'invalid_argument',
    reason: 'unknown_argument',
    exit: null,
    next: /time_range/,
  },
  {
    input: 'a time range that is none',
    see: alex('query', 'errors by service', '--time-range', 'yesterday'),
    kind: 'invalid_argument',
    reason: 'bad_time_range',
    exit: 2,
    next: /15m, 1h/,
  },
  {
    input: 'a time range longer than anything is kept',
    see: alex('topology', '--time-range', '99d'),
    kind: 'invalid_argument',
    reason: 'bad_time_range',
    exit: 2,
    next: /30d/,
  },
  {
    input: 'a question that no word of is understood',
    see: alex('query', 'please make me a sandwich'),
    kind: 'invalid_argument',
    reason: 'query_not_understood',
    exit: 2,
    next: /latency/,
  },
  {
    input: 'an unknown service',
    see: alex('query', 'paymnt latency, last 1h'),
    kind: 'not_found',
    reason: 'unknown_service',
    exit: 1,
    next: /throughput by service/,
  },
  {
    input: 'an unknown agent',
    see: ask(
      (world) => world.robin,
      () => ['live', 'agt-nobody', 'SELECT 1'],
    ),
    kind: 'not_found',
    reason: 'unknown_agent',
    exit: 1,
    next: /agt-|coral agent list|coverage/,
  },
  {
    input: 'a live question without the permission',
    see: ask(
      (world) => world.alex,
      (agentId) => ['live', agentId, 'SELECT 1'],
    ),
    kind: 'permission_denied',
    reason: 'missing_permission',
    exit: 3,
    next: /read:live_data/,
  },
  {
    input: 'SQL that writes, at an agent',
    see: live('DELETE FROM spans'),
    kind: 'invalid_argument',
    reason: 'sql_refused',
    exit: 2,
    next: /SELECT/,
  },
  {
    input: 'SQL that reads files, at an agent',
    see: live("SELECT * FROM read_text('/etc/passwd')"),
    kind: 'invalid_argument',
    reason: 'sql_refused',
    exit: 2,
    next: /aggregates/,
  },
  {
    input: 'SQL that reads files by their name alone, at an agent',
    see: live("SELECT * FROM '/etc/passwd'"),
    kind: 'invalid_argument',
    reason: 'sql_refused',
    exit: 2,
    next: /spans/,
  },
  {
    input: 'SQL that writes, at the colony',
    see: alex('query', 'WITH gone AS (SELECT 1) INSERT INTO events SELECT * FROM gone'),
    kind: 'invalid_argument',
    reason: 'sql_refused',
    exit: 2,
    next: /SELECT/,
  },
  {
    input: 'SQL that reads files, at the colony',
    see: alex('query', "SELECT * FROM read_csv('/etc/passwd')"),
    kind: 'invalid_argument',
    reason: 'sql_refused',
    exit: 2,
    next: /aggregates/,
  },
];

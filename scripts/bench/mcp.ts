// `npm run bench:mcp`: what a colony costs beside a bare MCP server, per call. docs/benchmarks.md says how to read it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { openBare } from './support/bare-side.js';
import { cheapTool, toolCall, toolsList } from './support/call.js';
import { askOnce, openColony } from './support/colony-side.js';
import { fsyncP95 } from './support/fsync-cost.js';
import { load, post, type Target } from './support/http-load.js';
import { print, reportOf, resultOf, type BenchResult } from './support/report.js';
import { cpuMicros } from './support/server-cpu.js';
import { doors, type DoorName, type Side } from './support/side.js';
import { quantile } from './support/statistics.js';

/** Not to be exceeded: CPU of a colony over CPU of a bare server, and tokens of all definitions. */
const bars = { cpuRatio: 1.6, definitionTokens: 1_000 };

interface Effort {
  rounds: number;
  /** Calls of each side per round, eight in flight: for CPU per call. */
  busyCalls: number;
  /** Calls of each side per round, one after the other: for latency. */
  singleCalls: number;
  warmUpCalls: number;
}

const whole: Effort = { rounds: 15, busyCalls: 600, singleCalls: 300, warmUpCalls: 2_000 };
const quick: Effort = { rounds: 5, busyCalls: 400, singleCalls: 150, warmUpCalls: 1_000 };

const { values: options } = parseArgs({
  options: { json: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
});
const effort = options.quick ? quick : whole;

function say(line: string): void {
  process.stderr.write(`bench mcp: ${line}\n`);
}

const folder = await mkdtemp(join(tmpdir(), 'coral-bench-mcp-'));
try {
  say('starting a colony, and a bare server that answers the same …');
  await using colony = await openColony(folder);
  const listed = await definitions(colony);
  const body = await answerOf(colony);
  const tool = listed.tools.find(({ name }) => name === cheapTool);
  if (tool === undefined) throw new Error(`the colony does not list ${cheapTool}`);
  await using bare = await openBare(folder, { tool: tool as never, body });

  const results: BenchResult[] = [];
  for (const door of doors) results.push(...(await compare(door, colony, bare)));
  const tokens = encode(JSON.stringify(listed.result)).length;
  results.push(resultOf('tool_definitions_tokens', 'tokens', [tokens], { bar: bars.definitionTokens }));
  print(reportOf('mcp', results), options.json);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Both sides in turns, so that whatever else the machine does happens to both. */
async function compare(door: DoorName, colony: Side, bare: Side): Promise<BenchResult[]> {
  const sides = { colony: targetOf(colony, door), bare: targetOf(bare, door) };
  say(`${door} door: warming up …`);
  await load(sides.colony, effort.warmUpCalls, 8);
  await load(sides.bare, effort.warmUpCalls, 8);
  const cpu = { colony: [] as number[], bare: [] as number[] };
  const p95 = { colony: [] as number[], bare: [] as number[] };
  const fsync: number[] = [];
  for (let round = 0; round < effort.rounds; round++) {
    cpu.bare.push(await cpuPerCall(bare.pid, sides.bare));
    cpu.colony.push(await cpuPerCall(colony.pid, sides.colony));
    p95.bare.push(quantile(await load(sides.bare, effort.singleCalls, 1), 0.95));
    p95.colony.push(quantile(await load(sides.colony, effort.singleCalls, 1), 0.95));
    fsync.push(await fsyncP95(folder, effort.singleCalls));
    say(`${door} door: round ${round + 1} of ${effort.rounds}`);
  }
  const named = (name: string): string => (door === 'public' ? name : `${door}_${name}`);
  const added = p95.colony.map((mine, i) => mine - (p95.bare[i] as number));
  return [
    resultOf(named('tools_call_cpu_us'), 'us', cpu.colony, { baselines: cpu.bare, bar: bars.cpuRatio }),
    resultOf(named('tools_call_p95_ms'), 'ms', p95.colony, { baselines: p95.bare }),
    resultOf(named('tools_call_added_p95_ms'), 'ms', added),
    ...(door === 'public' ? [resultOf('audit_fsync_p95_ms', 'ms', fsync)] : []),
  ];
}

async function cpuPerCall(pid: number, target: Target): Promise<number> {
  const before = await cpuMicros(pid);
  await load(target, effort.busyCalls, 8);
  return ((await cpuMicros(pid)) - before) / effort.busyCalls;
}

function targetOf(side: Side, door: DoorName): Target {
  return { ...side.ways[door], ...toolCall(side.tokens[door]) };
}

async function definitions(side: Side): Promise<{ result: object; tools: { name: string }[] }> {
  const { body } = await post({ ...side.ways.public, ...toolsList(side.tokens.public) });
  const { result } = JSON.parse(body) as { result: { tools: { name: string }[] } };
  return { result, tools: result.tools };
}

async function answerOf(side: Side): Promise<Record<string, unknown>> {
  const { body } = await askOnce(side);
  return (JSON.parse(body) as { result: { structuredContent: Record<string, unknown> } }).result.structuredContent;
}

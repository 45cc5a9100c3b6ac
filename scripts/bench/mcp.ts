// `npm run bench:mcp`: what a colony costs beside a bare MCP server, per call. docs/benchmarks.md says how to read it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
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

/** Short rounds and many: what else the machine does comes and goes within seconds. */
interface Effort {
  rounds: number;
  /** Calls of each side per round, eight in flight: for CPU per call. */
  busyCalls: number;
  /** Calls of each side per round, one after the other: for latency. */
  singleCalls: number;
  warmUpCalls: number;
}

const whole: Effort = { rounds: 25, busyCalls: 400, singleCalls: 200, warmUpCalls: 3_000 };
const quick: Effort = { rounds: 7, busyCalls: 160, singleCalls: 80, warmUpCalls: 1_000 };
/** A call with all of its work takes about as long as thirty without. */
const share = 1 / 10;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    /** A folder for a CPU profile of the colony whose tool is idle; the profiler costs, so mind no ratio of that run. */
    profile: { type: 'string' },
  },
});
const profiler = options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', resolve(options.profile)];
const effort = options.quick ? quick : whole;

function say(line: string): void {
  process.stderr.write(`bench mcp: ${line}\n`);
}

const folder = await mkdtemp(join(tmpdir(), 'coral-bench-mcp-'));
try {
  say('starting a colony whose tool is idle, one whose tool works, and a bare server that answers the same …');
  await using idle = await openColony(join(folder, 'idle'), 'bench/colony-idle-tool.js', profiler);
  await using working = await openColony(join(folder, 'working'), 'colony.js');
  const listed = await definitions(idle);
  const tool = listed.tools.find(({ name }) => name === cheapTool);
  if (tool === undefined) throw new Error(`the colony does not list ${cheapTool}`);
  await using bare = await openBare(folder, { tool: tool as never, body: await answerOf(idle) });

  const results: BenchResult[] = [];
  for (const door of doors) results.push(...(await comparePath(door, idle, bare)));
  results.push(...(await compareWork(working, bare)));
  const tokens = encode(JSON.stringify(listed.result)).length;
  results.push(resultOf('tool_definitions_tokens', 'tokens', [tokens], { bar: bars.definitionTokens }));
  print(reportOf('mcp', results), options.json);
} finally {
  await rm(folder, { recursive: true, force: true });
}

interface Sample {
  /** CPU of the server's process per call, eight in flight, µs. */
  cpu: number;
  /** One client, ms. */
  p95: number;
}

async function sample(side: Side, door: DoorName, part = 1): Promise<Sample> {
  const target: Target = { ...side.ways[door], ...toolCall(side.tokens[door]) };
  const calls = Math.ceil(effort.busyCalls * part);
  const before = await cpuMicros(side.pid);
  await load(target, calls, 8);
  const cpu = ((await cpuMicros(side.pid)) - before) / calls;
  return { cpu, p95: quantile(await load(target, Math.ceil(effort.singleCalls * part), 1), 0.95) };
}

/** In turns, and each first as often as the other, so that whatever else the machine does happens to both. */
async function inTurns(
  what: string,
  mine: () => Promise<Sample>,
  theirs: () => Promise<Sample>,
): Promise<{ mine: Sample[]; theirs: Sample[] }> {
  const samples = { mine: [] as Sample[], theirs: [] as Sample[] };
  for (let round = 0; round < effort.rounds; round++) {
    if (round % 2 === 0) samples.theirs.push(await theirs());
    samples.mine.push(await mine());
    if (round % 2 === 1) samples.theirs.push(await theirs());
    say(`${what}: round ${round + 1} of ${effort.rounds}`);
  }
  return samples;
}

/** What every call costs whatever its tool does, against the bare server over the same transport. */
async function comparePath(door: DoorName, idle: Side, bare: Side): Promise<BenchResult[]> {
  say(`${door} door: warming up …`);
  for (const side of [idle, bare]) {
    await load({ ...side.ways[door], ...toolCall(side.tokens[door]) }, effort.warmUpCalls, 8);
  }
  const { mine, theirs } = await inTurns(
    `${door} door`,
    () => sample(idle, door),
    () => sample(bare, door),
  );
  const name = door === 'public' ? '' : `${door}_`;
  const added = mine.map(({ p95 }, i) => p95 - (theirs[i] as Sample).p95);
  const results = [
    resultOf(`${name}tools_call_cpu_us`, 'us', mine.map(cpuOf), { baselines: theirs.map(cpuOf), bar: bars.cpuRatio }),
    resultOf(`${name}tools_call_p95_ms`, 'ms', mine.map(p95Of), { baselines: theirs.map(p95Of) }),
    resultOf(`${name}tools_call_added_p95_ms`, 'ms', added),
  ];
  if (door !== 'public') return results;
  const fsync: number[] = [];
  for (let round = 0; round < effort.rounds; round++) fsync.push(await fsyncP95(folder, effort.singleCalls));
  return [...results, resultOf('audit_fsync_p95_ms', 'ms', fsync)];
}

/** The same call with the work of its tool. */
async function compareWork(working: Side, bare: Side): Promise<BenchResult[]> {
  const { mine, theirs } = await inTurns(
    'with the work of the tool',
    () => sample(working, 'public', share),
    () => sample(bare, 'public'),
  );
  return [
    resultOf('get_health_cpu_us', 'us', mine.map(cpuOf), { baselines: theirs.map(cpuOf) }),
    resultOf('get_health_p95_ms', 'ms', mine.map(p95Of), { baselines: theirs.map(p95Of) }),
  ];
}

function cpuOf({ cpu }: Sample): number {
  return cpu;
}

function p95Of({ p95 }: Sample): number {
  return p95;
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

/**
 * The demo: a colony, three agents and a shop of real processes; one fault; one question; the answer with its audit rows.
 * `npm run demo -- --fault NAME --keep --json --seed NUMBER`
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readAudit, verifyAudit } from '@coral/audit';
import { CoralSystem, type User } from './coral-system.js';
import { ask, demoPolicy, faults, openShop, runIncident, type AskAnswer, type Fault } from './incident.js';
import { demoNames, shuffledNames, type ShopNames } from './shop.js';

interface Options {
  fault: Fault;
  keep: boolean;
  json: boolean;
  /** Of the services; the usual ones without a seed. */
  names: ShopNames;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      fault: { type: 'string', default: 'payment-deploy' },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      seed: { type: 'string' },
    },
  });
  const fault = faults.find((known) => known === values.fault);
  if (fault === undefined) throw new UsageError(`--fault ${values.fault}: known are ${faults.join(', ')}`);
  if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed))
    throw new UsageError(`--seed ${values.seed}: a whole number of at most nine digits`);
  const names = values.seed === undefined ? demoNames : shuffledNames(Number(values.seed));
  return { fault, keep: values.keep, json: values.json, names };
}

class UsageError extends Error {}

async function auditCounts(
  folder: string,
): Promise<{ allowed: number; denied: number; verified: boolean; rows: string[] }> {
  const counts = { allowed: 0, denied: 0, rows: [] as string[] };
  for await (const row of readAudit(folder)) {
    if (row.kind !== 'tool_call.outcome') continue;
    const { outcome, tool_name: tool } = row.payload as { outcome: string; tool_name: string };
    if (outcome === 'ok') counts.allowed += 1;
    if (outcome === 'denied') counts.denied += 1;
    counts.rows.push(`${row.at}  ${String(row.user_id).padEnd(6)} ${tool.padEnd(20)} ${outcome}`);
  }
  return { ...counts, verified: (await verifyAudit(folder)).ok };
}

function whatToTry(system: CoralSystem, user: User, question: string): string {
  const { HOME, CORAL_TOKEN } = user.environment;
  return [
    '',
    'All of it keeps running. In another terminal, in this folder:',
    `  export HOME=${HOME} CORAL_TOKEN=${CORAL_TOKEN}`,
    `  bin/coral ask "${question}"`,
    '  bin/coral query "latency by service, last 5m"',
    '  bin/coral topology',
    '  bin/coral events --time-range 1h',
    '  bin/coral health',
    `  bin/coral audit verify ${system.auditFolder}`,
    'Ctrl-C here ends it.',
    '',
  ].join('\n');
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}

async function run(options: Options, say: (line: string) => void): Promise<void> {
  const started = Date.now();
  const bootstrappedAt = Number(process.env['CORAL_BOOTSTRAPPED_AT'] ?? started);
  const seconds = (): number => Math.round((Date.now() - bootstrappedAt) / 100) / 10;
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'coral-demo-'));

  say('starting a colony');
  const system = await CoralSystem.open(folder, demoPolicy);
  undo.defer(() => system.erase());
  undo.use(system);
  const stopping = interrupted().then(() => 'stop' as const);
  say('starting three agents and a shop of four services and two databases');
  const shop = undo.use(await openShop(system, options.names));
  const [alex, sam] = await Promise.all([system.addUser('alex'), system.addUser('sam')]);
  if ((await Promise.race([stopping, runIncident(shop, options.fault, say)])) === 'stop') return;

  const question = `Why is ${options.names.orderer} slow?`;
  say(`alex asks: ${question}\n`);
  let answer: AskAnswer | undefined;
  if (options.json) answer = await ask(alex, question);
  else {
    const asked = await alex.coral(['ask', question], (text) => process.stdout.write(text));
    process.stderr.write(asked.stderr);
    if (asked.code !== 0) throw new Error(`coral ask ended with ${asked.code}`);
  }
  const took = seconds();
  say(`sam, who may only see health, tries the same tool:`);
  const denied = await sam.coral(['query', 'latency by service, last 5m']);
  if (!options.json)
    process.stdout.write(
      `\n$ coral query "latency by service, last 5m"   (as sam, exit ${denied.code})\n${denied.stderr}`,
    );
  const audit = await auditCounts(system.auditFolder);
  if (options.json) {
    const { rows: _rows, ...counts } = audit;
    process.stdout.write(`${JSON.stringify({ ...answer, audit: counts, seconds: took })}\n`);
  } else {
    const verdict = audit.verified ? 'the chain verifies' : 'THE CHAIN IS BROKEN';
    process.stdout.write(
      `\nEvery call left a row (${audit.allowed} allowed, ${audit.denied} denied; ${verdict}):\n${audit.rows.join('\n')}\n`,
    );
  }
  if (options.keep) {
    process.stderr.write(whatToTry(system, alex, question));
    await stopping;
  }
}

try {
  const options = readOptions();
  await run(options, (line) => process.stderr.write(`demo: ${line}\n`));
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
// Timers of an incident that was interrupted would hold the process for their rest.
process.exit();

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyAudit } from '@coral/audit';
import { describe, expect, it } from 'vitest';
import { CoralSystem } from '../scripts/demo/coral-system.js';
import { ask, demoPolicy, openShop, runIncident, type AskAnswer, type Fault } from '../scripts/demo/incident.js';
import { shuffledNames, type ShopNames } from '../scripts/demo/shop.js';

/** Changes from run to run, is printed, and can be set again: no name may matter. */
const seed = Number(process.env['CORAL_SEED'] ?? Date.now() % 1_000_000);

interface Outcome {
  names: ShopNames;
  answer: AskAnswer;
}

/** A whole system of its own, from nothing to the answer. */
async function live(fault: Fault, offset: number): Promise<Outcome> {
  const names = shuffledNames(seed + offset);
  await using undo = new AsyncDisposableStack();
  const system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-incident-')), demoPolicy);
  undo.defer(() => system.erase());
  undo.use(system);
  const shop = undo.use(await openShop(system, names));
  const alex = await system.addUser('alex');
  await runIncident(shop, fault, () => undefined);
  const answer = await ask(alex, `Why is ${names.orderer} slow?`);
  expect((await verifyAudit(system.auditFolder)).ok).toBe(true);
  return { names, answer };
}

const context = ({ names, answer }: Outcome): string =>
  `seed ${seed}, names ${JSON.stringify(names)}: ${JSON.stringify(answer)}`;

// Two at a time: the machine has two cores, and each incident lasts over a minute.
describe.concurrent(`an incident in a real shop (CORAL_SEED=${seed})`, { timeout: 300_000 }, () => {
  it('payment-deploy: names the bad deployment, its version and time, with numbers before and after', async () => {
    const outcome = await live('payment-deploy', 1);
    const { names, answer } = outcome;
    expect(answer.cause, context(outcome)).toMatchObject({ service: names.payer, kind: 'deploy', version: '1.4.0' });
    expect(Date.now() - Date.parse(answer.cause?.at ?? ''), context(outcome)).toBeLessThan(120_000);
    expect(answer.evidence.length).toBeGreaterThan(1);
    expect(answer.answer).toContain('1.4.0');
  });

  it('slow-database: names the database behind it, and no deployment', async () => {
    const outcome = await live('slow-database', 2);
    expect(outcome.answer.cause, context(outcome)).toMatchObject({ kind: 'database' });
    expect(outcome.answer.cause?.service, context(outcome)).toMatch(/^postgresql:/);
  });

  it('innocent-deploy: does not blame the deployment that merely came at the same time', async () => {
    const outcome = await live('innocent-deploy', 3);
    expect(outcome.answer.cause, context(outcome)).toMatchObject({ kind: 'database' });
    expect(outcome.answer.cause?.service, context(outcome)).not.toBe(outcome.names.bystander);
  });

  it('surge: names the traffic', async () => {
    const outcome = await live('surge', 4);
    expect(outcome.answer.cause, context(outcome)).toMatchObject({ kind: 'traffic' });
  });

  it('none: says that nothing is wrong', async () => {
    const outcome = await live('none', 5);
    expect(outcome.answer.cause, context(outcome)).toBeNull();
    expect(outcome.answer.answer, context(outcome)).toMatch(/nothing is wrong/i);
  });
});

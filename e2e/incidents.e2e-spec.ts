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

/** A whole system of its own, from nothing to an answer after each of these, one after the other. */
async function live(offset: number, ...faults: Fault[]): Promise<Outcome[]> {
  const names = shuffledNames(seed + offset);
  await using undo = new AsyncDisposableStack();
  const system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-incident-')), demoPolicy);
  undo.defer(() => system.erase());
  undo.use(system);
  const shop = undo.use(await openShop(system, names));
  const alex = await system.addUser('alex');
  const outcomes: Outcome[] = [];
  for (const fault of faults) {
    await runIncident(shop, fault, () => undefined);
    outcomes.push({ names, answer: await ask(alex, `Why is ${names.orderer} slow?`) });
  }
  expect((await verifyAudit(system.auditFolder)).ok).toBe(true);
  return outcomes;
}

const context = ({ names, answer }: Outcome): string =>
  `seed ${seed}, names ${JSON.stringify(names)}: ${JSON.stringify(answer)}`;

describe(`an incident in a real shop (CORAL_SEED=${seed})`, { timeout: 400_000 }, () => {
  it('none, then payment-deploy: nothing is wrong; then names the bad deployment, its version and time', async () => {
    const [calm, trouble] = (await live(1, 'none', 'payment-deploy')) as [Outcome, Outcome];
    expect(calm.answer.cause, context(calm)).toBeNull();
    expect(calm.answer.answer, context(calm)).toMatch(/nothing is wrong/i);
    const { names, answer } = trouble;
    expect(answer.cause, context(trouble)).toMatchObject({ service: names.payer, kind: 'deploy', version: '1.4.0' });
    expect(Date.now() - Date.parse(answer.cause?.at ?? ''), context(trouble)).toBeLessThan(120_000);
    expect(answer.evidence.length).toBeGreaterThan(1);
    expect(answer.answer).toContain('1.4.0');
  });

  it('slow-database: names the database behind it, and no deployment', async () => {
    const [outcome] = (await live(2, 'slow-database')) as [Outcome];
    expect(outcome.answer.cause, context(outcome)).toMatchObject({ kind: 'database' });
    expect(outcome.answer.cause?.service, context(outcome)).toMatch(/^postgresql:/);
  });

  it('innocent-deploy: does not blame the deployment that merely came at the same time', async () => {
    const [outcome] = (await live(3, 'innocent-deploy')) as [Outcome];
    expect(outcome.answer.cause, context(outcome)).toMatchObject({ kind: 'database' });
    expect(outcome.answer.cause?.service, context(outcome)).not.toBe(outcome.names.bystander);
  });

  it('surge: names the traffic', async () => {
    const [outcome] = (await live(4, 'surge')) as [Outcome];
    expect(outcome.answer.cause, context(outcome)).toMatchObject({ kind: 'traffic' });
  });
});

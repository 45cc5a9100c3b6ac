import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fault, FaultRow, Seen } from './faults/fault.js';
import { laptopFaults } from './faults/laptop-faults.js';
import { loneOutageFaults, outageFaults } from './faults/outage-faults.js';
import { questionFaults } from './faults/question-faults.js';
import { missingCommands } from './faults/real-commands.js';
import { startFaults } from './faults/start-faults.js';
import { telemetryFaults } from './faults/telemetry-faults.js';
import { FaultWorld } from './faults/world.js';

/**
 * What goes wrong, and what is then said: input → kind, reason, exit code, next step, with the real programs on both
 * ends. How the CLI words its errors is in cli-faults, what the doors of a colony refuse in lease and denied-is-audited,
 * bombs and twenty kills of an agent alone in otlp, both ends killed at once in durability.
 */
const table: Fault[] = [...laptopFaults, ...questionFaults, ...startFaults, ...telemetryFaults, ...outageFaults];

function check(seen: Seen, { kind, reason, exit, next }: FaultRow): void {
  expect(seen).toEqual({ kind, reason, exit, next: expect.stringMatching(next) });
  expect(missingCommands(seen.next)).toEqual([]);
}

describe('faults: input → kind, reason, exit code, next step', () => {
  describe('in one world', () => {
    let world: FaultWorld;
    beforeAll(async () => {
      world = await FaultWorld.open();
    });
    afterAll(() => world?.[Symbol.asyncDispose]());

    it.each(table)('$input → $kind, $reason, exit $exit', async (fault) => check(await fault.see(world), fault));
  });

  describe.concurrent('each in a world of its own', () => {
    it.each(loneOutageFaults)('$input → $kind, $reason, exit $exit', async (fault) => check(await fault.see(), fault));
  });
});

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readBaseline, writeForSuite, type Baseline } from './mcp/conformance/baseline.js';
import { openFixtureDoor } from './mcp/conformance/fixture-door.js';
import { LoopbackShim } from './mcp/conformance/loopback-shim.js';
import { countOf, failuresOf, runConformance } from './mcp/conformance/run.js';
import { exchangeToken } from './mcp/public-token.js';
import { projectRoot } from '../scripts/demo/processes.js';
import { ColonyUnderTest } from './support/start-colony.js';

/** What the suite itself says a server of this revision must pass. */
async function requiredBy(revision: string): Promise<ReadonlySet<string>> {
  const file = join(projectRoot, 'node_modules/conformance-next/requirements', `${revision}.yaml`);
  return new Set((parse(await readFile(file, 'utf8')) as { server: string[] }).server);
}

const everything = `version: 1
roles:
  operator:
    permissions: [read:metrics, read:topology, read:events, read:health, read:live_data]
bindings:
  - role: operator
    users: [alex]
`;

describe('the official conformance suite', () => {
  describe('with its fixtures behind the door, the protocol handling and the adapter of the colony', () => {
    let door: Awaited<ReturnType<typeof openFixtureDoor>>;
    beforeAll(async () => {
      door = await openFixtureDoor();
    });
    afterAll(() => door.close());

    it('passes all 37 scenarios that 2026-07-28 requires', async () => {
      const required = await requiredBy('2026-07-28');
      const outcome = await runConformance('next', door.url, ['--requirements', '2026-07-28']);
      expect(failuresOf(outcome, required)).toEqual([]);
      expect([...required].filter((scenario) => !outcome.scenarios.has(scenario))).toEqual([]);
      expect(required.size).toBe(37);
      expect(outcome.exitCode, outcome.said).toBe(0);
      expect(countOf(outcome, 'WARNING', required)).toBe(0);
      // Not required yet, and what keeps a header from saying another thing than the body.
      const headers = new Set(['http-header-validation']);
      expect([countOf(outcome, 'SUCCESS', headers), failuresOf(outcome, headers)]).toEqual([14, []]);
    });

    it('passes all 30 scenarios that 2025-11-25 requires', async () => {
      const required = await requiredBy('2025-11-25');
      const outcome = await runConformance('next', door.url, ['--requirements', '2025-11-25']);
      expect(failuresOf(outcome, required)).toEqual([]);
      expect([...required].filter((scenario) => !outcome.scenarios.has(scenario))).toEqual([]);
      expect(required.size).toBe(30);
      expect(outcome.exitCode, outcome.said).toBe(0);
    });

    it('passes every active scenario of the newest release', async () => {
      const outcome = await runConformance('stable', door.url, []);
      expect(failuresOf(outcome)).toEqual([]);
      expect(outcome.scenarios.size).toBe(30);
      expect(outcome.exitCode, outcome.said).toBe(0);
    });
  });

  describe('with a colony as it is', () => {
    let shim: LoopbackShim;
    let colony: ColonyUnderTest;
    let baseline: Baseline;

    beforeAll(async () => {
      baseline = await readBaseline();
      shim = await LoopbackShim.open();
      const publicDoor = { public: true, allowed_origins: [shim.origin] };
      colony = await ColonyUnderTest.start({ policy: everything, config: { mcp_server: publicDoor } });
      const caPem = await colony.caPem();
      const { endpoint } = colony.ready;
      const { token } = await colony.apiToken('alex');
      const { access_token: accessToken } = await exchangeToken(endpoint, caPem, token);
      shim.leadTo({ endpoint, caPem, token: accessToken });
    });

    afterAll(async () => {
      await colony.mustVerify();
      await colony[Symbol.asyncDispose]();
      await shim[Symbol.asyncDispose]();
    });

    it.each([
      ['2026-07-28', 'next', ['--requirements', '2026-07-28']],
      ['2025-11-25', 'next', ['--requirements', '2025-11-25']],
      ['2025-11-25', 'stable', []],
    ] as const)('of %s (%s) fails where it is written why, and nowhere else', async (revision, suite, args) => {
      const expected = baseline[revision] ?? [];
      const file = await writeForSuite(expected, colony.directory, suite === 'stable');
      const outcome = await runConformance(suite, shim.url, [...args, '--expected-failures', file]);
      expect(outcome.exitCode, outcome.said).toBe(0);
      // The suite overlooks entries of scenarios that did not run.
      const ran = (entry: string): boolean => outcome.scenarios.has(entry.split(':')[0] ?? '');
      expect(expected.flatMap(({ fails }) => fails).filter((entry) => !ran(entry))).toEqual([]);
      expect(expected.filter(({ because }) => because.trim() === '')).toEqual([]);
    });
  });
});

import { describe, expect, it } from 'vitest';
import type { AgentId, KeyId } from '@coral/model';
import type { AgentRegistry } from './agents.js';
import { TelemetryIntake } from './telemetry-intake.js';
import { Bench, windowAt } from './testing/fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const known = 'key-1' as KeyId;

function setUp(bench: Bench) {
  const said: unknown[] = [];
  const registry: AgentRegistry = {
    agentOf: (keyId) =>
      keyId === known ? { agentId: 'agt-web-1' as AgentId, name: 'web-1', owner: 'alex' } : undefined,
    touch: (...all) => void said.push(['touch', ...all]),
    setDirectEndpoint: (...all) => void said.push(['endpoint', ...all]),
  };
  return { said, intake: new TelemetryIntake({ store: bench.store, registry, clock: bench.clock }) };
}
const push = {
  epoch: 'e1',
  seq: 1,
  producedAtMs: noon,
  windows: [windowAt(noon - 10_000)],
  edges: [],
  links: [],
  sightings: [],
};

describe('TelemetryIntake', () => {
  it('believes the key of the connection and keeps what that agent says', async () => {
    await using bench = await Bench.open(noon);
    const { said, intake } = setUp(bench);
    expect(await intake.pushSummary(known, push)).toEqual({ durableSeq: 1 });
    expect(await intake.pushSummary(known, push)).toEqual({ durableSeq: 1 });
    expect(said[0]).toEqual(['touch', 'agt-web-1', noon, ['cart']]);
    const reports = await bench.store.read((view) => view.agentReports());
    expect(reports).toMatchObject([{ agentId: 'agt-web-1', coveredToMs: noon }]);
  });

  it('notes where the agent listens and how far its clock is off', async () => {
    await using bench = await Bench.open(noon);
    const { said, intake } = setUp(bench);
    const request = { version: '0.1.0', directEndpoint: '127.0.0.1:4711', clockMs: noon + 90_000 };
    expect(await intake.announceAgent(known, request)).toEqual({ clockMs: noon });
    expect(said).toEqual([
      ['endpoint', 'agt-web-1', '127.0.0.1:4711'],
      ['touch', 'agt-web-1', noon, []],
    ]);
    expect(await bench.store.read((view) => view.agentReports())).toMatchObject([{ skewMs: 90_000, coveredToMs: 0 }]);
  });

  it.each([undefined, 'key-of-a-lease' as KeyId])('refuses %s, and keeps nothing', async (peer) => {
    await using bench = await Bench.open(noon);
    const { said, intake } = setUp(bench);
    const refusal = { kind: 'permission_denied', reason: 'not_an_agent' };
    await expect(intake.pushSummary(peer, push)).rejects.toMatchObject(refusal);
    await expect(intake.announceAgent(peer, { version: '', directEndpoint: '', clockMs: 0 })).rejects.toMatchObject(
      refusal,
    );
    expect(said).toEqual([]);
    expect(await bench.store.read((view) => view.dataBegin())).toBeUndefined();
  });
});

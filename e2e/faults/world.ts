import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoralSystem, type User } from '../../scripts/demo/coral-system.js';
import { demoPolicy } from '../../scripts/demo/incident.js';
import { Laptop } from '../support/laptop.js';
import { sendOrdinaryTraffic } from '../support/traffic.js';
import { until } from '../support/until.js';

/** Who is silent for this long is named; short, so that a test need not wait for a minute. */
const staleness = '10s';

/** A colony with one agent that has ordinary telemetry, and two people: a developer, and one on call who may look live. */
export class FaultWorld implements AsyncDisposable {
  private constructor(
    readonly system: CoralSystem,
    readonly alex: User,
    readonly robin: User,
    private readonly undo: AsyncDisposableStack,
  ) {}

  static async open(): Promise<FaultWorld> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'coral-faults-'));
    const system = await CoralSystem.open(folder, demoPolicy, 'demo', { telemetry: { staleness } });
    undo.defer(() => system.erase());
    undo.use(system);
    const agent = await system.startAgent('orders-1', 'robin', { summaries: { interval: '1s' } });
    const [alex, robin] = await Promise.all([system.addUser('alex'), system.addUser('robin')]);
    await sendOrdinaryTraffic(`http://${agent.ready.otlp_http}`);
    const latency = ['query', 'payment latency, last 15m', '--json'];
    await until(async () => (await alex.coral(latency)).stdout.includes('"status": "ok"'), 'the first summary');
    return new FaultWorld(system, alex, robin, undo.move());
  }

  get agent() {
    const agent = this.system.agents.get('orders-1');
    if (agent === undefined) throw new Error('the agent of this world is gone');
    return agent;
  }

  /** A fresh home of `user`, configured for the colony; `more` is appended to the configuration. */
  async laptopOf(user: User, more = ''): Promise<Laptop> {
    const laptop = await Laptop.open({ CORAL_TOKEN: user.environment.CORAL_TOKEN });
    const { endpoint, ca_fingerprint } = this.system.colony.ready;
    await laptop.configure({ id: 'demo', endpoint, ca_fingerprint }, more);
    return laptop;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.undo.disposeAsync();
  }
}

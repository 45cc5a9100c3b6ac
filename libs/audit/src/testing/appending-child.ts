import { AuditLog } from '../audit-log.js';
import { entry } from './audit-fixture.js';

/** Appends until killed, eight at a time, and prints `seq hash` of a row only when append has resolved. */
const [directory = ''] = process.argv.slice(2);
const log = await AuditLog.open({
  directory,
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  segmentBytes: 20_000,
});
async function appendForever(writer: number): Promise<never> {
  for (let n = 0; ; n += 1) {
    const row = await log.append(entry(n, { agent_id: `writer-${writer}` }));
    process.stdout.write(`${row.seq} ${row.hash}\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, (_, writer) => appendForever(writer)));

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEntry, AuditLog, AuditRow } from '@coral/audit';
import { CoralError } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JsonLogger } from '../edge/json-logger.js';
import { PolicyInForce } from './policy-in-force.js';

const good =
  'version: 1\nroles:\n  developer:\n    permissions: [read:metrics]\nbindings:\n  - role: developer\n    users: [alex]\n';
const clock = { now: () => 0, monotonic: () => 0 };

describe('PolicyInForce', () => {
  let directory: string;
  let file: string;
  let rows: AuditEntry[];
  let broken: boolean;
  let log: string[];
  const audit: Pick<AuditLog, 'append'> = {
    append: async (entry) => {
      if (broken) throw new CoralError({ kind: 'unavailable', reason: 'audit_unavailable', message: 'full' });
      rows.push(entry);
      return { ...entry } as AuditRow;
    },
  };
  // Nothing looks at the file but the spec itself.
  const triggers = { start: () => () => undefined, soon: () => undefined };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-policy-'));
    file = join(directory, 'policy.yaml');
    [rows, broken, log] = [[], false, []];
    await writeFile(file, good);
  });
  afterEach(() => rm(directory, { recursive: true }));

  const open = () =>
    PolicyInForce.open({
      file,
      audit,
      clock,
      triggers,
      logger: new JsonLogger(clock, 'info', (line) => log.push(line)),
    });
  /** New content counts when two looks in a row found it the same. */
  const look = async (policy: PolicyInForce) => {
    await policy.check();
    await policy.check();
  };
  const may = (policy: PolicyInForce) => policy.current().decide({ userId: 'alex' }, 'read:metrics').allowed;

  it('records what comes into force, and what does not', async () => {
    await using policy = await open();
    expect(may(policy)).toBe(true);
    await writeFile(file, good.replace('alex', 'jordan'));
    await look(policy);
    expect(may(policy)).toBe(false);
    await writeFile(file, 'version: 1\nroles: [');
    await look(policy);
    expect(may(policy)).toBe(false);
    expect(rows.map((row) => row.kind)).toEqual(['policy.loaded', 'policy.loaded', 'policy.refused']);
    expect(rows[2]?.payload).toMatchObject({ file, where: expect.stringContaining(`${file}:2:`) });
    expect(rows[1]?.payload['revision']).toBe(policy.current().revision);
  });

  it('puts a tighter policy in force even when its row cannot be written, and says so in the log', async () => {
    await using policy = await open();
    broken = true;
    await writeFile(file, good.replace('alex', 'jordan'));
    await look(policy);
    expect(may(policy)).toBe(false);
    expect(log.join('')).toContain('could not be audited');
  });

  it('does not start on a broken file, and leaves a row about it', async () => {
    await writeFile(file, good.replace('read:metrics', 'read:everything'));
    await expect(open()).rejects.toMatchObject({ kind: 'failed_precondition' });
    expect(rows.map((row) => row.kind)).toEqual(['policy.refused']);
  });

  it('does not start when it cannot leave a row', async () => {
    broken = true;
    await expect(open()).rejects.toMatchObject({ reason: 'audit_unavailable' });
  });
});

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAuditIndex, readAudit, verifyAudit } from '@coral/audit';
import { describe, expect, it } from 'vitest';
import { CoralSystem } from '../scripts/demo/coral-system.js';
import { demoPolicy } from '../scripts/demo/incident.js';

const question = 'Is production healthy?';

/** A colony with these audit settings, and alex. */
async function withColony(audit: object, work: (system: CoralSystem) => Promise<void>): Promise<void> {
  const system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-transcripts-')), demoPolicy, 'demo', {
    audit,
  });
  try {
    await work(system);
  } finally {
    await system[Symbol.asyncDispose]();
    await system.erase();
  }
}

describe('a transcript', () => {
  it('stays on the laptop unless it is shared', async () => {
    await withColony({ store_transcripts: true }, async (system) => {
      const alex = await system.addUser('alex');
      expect((await alex.coral(['ask', question])).code).toBe(0);
      for await (const row of readAudit(system.auditFolder)) expect(row.kind).not.toBe('ask.transcript');
    });
  });

  it('given with --share is kept under the name of who gave it', async () => {
    await withColony({ store_transcripts: true }, async (system) => {
      const alex = await system.addUser('alex');
      const asked = await alex.coral(['ask', question, '--share', '--json']);
      expect(asked).toMatchObject({ code: 0, stderr: expect.stringContaining('Shared with demo') });
      const { answer, agent_id: agentId } = JSON.parse(asked.stdout) as { answer: string; agent_id: string };
      await system[Symbol.asyncDispose]();
      expect((await verifyAudit(system.auditFolder)).ok).toBe(true);
      await using index = await openAuditIndex({
        file: join(system.folder, 'index.duckdb'),
        directory: system.auditFolder,
      });
      await index.catchUp();
      expect(await index.sql('SELECT user_id, agent_id, question, answer, llm_provider FROM ask_transcripts')).toEqual([
        { user_id: 'alex', agent_id: agentId, question, answer, llm_provider: 'builtin' },
      ]);
    });
  });

  it('is refused by a colony that keeps none, after the answer was given', async () => {
    await withColony({}, async (system) => {
      const alex = await system.addUser('alex');
      const asked = await alex.coral(['ask', question, '--share']);
      expect(asked).toMatchObject({ code: 78, stderr: expect.stringContaining('transcripts_not_kept') });
      expect(asked.stdout).not.toBe('');
      for await (const row of readAudit(system.auditFolder)) expect(row.kind).not.toBe('ask.transcript');
    });
  });
});

import { CoralError } from '@coral/errors';
import { endpointHost, isInsecureEndpoint, isOnThisMachine } from '@coral/llm';
import type { Clock } from '@coral/model';
import { stringify } from 'yaml';
import { z } from 'zod';
import type { AiConfig } from '../config/ai-config.js';
import { loadIfThere } from '../config/cli-config.js';
import { writePrivateFile } from '../config/private-file.js';

const noticesSchema = z.strictObject({
  /** When it was said, by provider and host. */
  cloud_notice: z.record(z.string(), z.iso.datetime()).default({}),
});

type Said = Readonly<Record<string, string>>;
type Asked = Pick<AiConfig, 'provider' | 'endpoint'>;

/**
 * Once for each provider and host that is not this machine: what it will see. Where it cannot be remembered it is said
 * again; a question never fails because of it.
 */
export async function sayCloudNotice(
  ai: Asked,
  { file, clock, say }: { file: string; clock: Clock; say(line: string): void },
): Promise<void> {
  if (isOnThisMachine(ai)) return;
  const place = `${ai.provider}@${endpointHost(ai) ?? ''}`;
  const said = await readSaid(file);
  if (Object.hasOwn(said, place)) return;
  say(cloudNotice(ai));
  const now = new Date(clock.now()).toISOString();
  await writePrivateFile(file, stringify({ cloud_notice: { ...said, [place]: now } })).catch(unlessSystem);
}

/** One line: who sees what, and what nobody but this machine sees. */
export function cloudNotice(ai: Asked): string {
  const open = ai.endpoint !== undefined && isInsecureEndpoint(ai.endpoint) ? ', unencrypted on its way' : '';
  return (
    `Note: ${ai.provider} (${endpointHost(ai)}) sees your question and the telemetry it asks for${open}; it never sees ` +
    'your colony token, your place on the mesh or what you may not read. Said once; --model builtin sends nothing to any model.'
  );
}

/** A file that is missing, damaged or open to others remembers nothing. */
async function readSaid(file: string): Promise<Said> {
  try {
    return (await loadIfThere(file, noticesSchema))?.cloud_notice ?? {};
  } catch (thrown) {
    if (thrown instanceof CoralError) return {};
    throw thrown;
  }
}

function unlessSystem(thrown: unknown): void {
  if ((thrown as NodeJS.ErrnoException).code === undefined) throw thrown;
}

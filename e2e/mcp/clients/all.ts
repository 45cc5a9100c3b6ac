import { aiSdkClients } from './ai-sdk.js';
import type { IndependentClient } from './client.js';
import { inspectorClients } from './inspector.js';
import { mcpRemoteClients } from './mcp-remote.js';
import { mcporterClient } from './mcporter.js';
import { officialClients } from './official.js';

/** Clients of the protocol that others wrote, in each revision they speak. */
export const independentClients: IndependentClient[] = [
  ...officialClients,
  ...inspectorClients,
  ...aiSdkClients,
  mcporterClient,
  ...mcpRemoteClients,
];

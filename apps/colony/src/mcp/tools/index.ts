import type { ToolHandler, ToolName } from '@coral/tools';
import { FetchLiveTool } from './fetch-live.tool.js';
import { GetHealthTool } from './get-health.tool.js';
import { GetTopologyTool } from './get-topology.tool.js';
import { QueryEventsTool } from './query-events.tool.js';
import { QueryTool } from './query.tool.js';
import type { ToolDeps } from './tool-deps.js';

export type { SqlLimits, ToolDeps } from './tool-deps.js';

/** All tools by name. A new one is a line here. */
export function createToolHandlers(deps: ToolDeps): ReadonlyMap<ToolName, ToolHandler> {
  const handlers = [
    new QueryTool(deps),
    new FetchLiveTool(deps),
    new GetTopologyTool(deps),
    new QueryEventsTool(deps),
    new GetHealthTool(deps),
  ] as const;
  return new Map(handlers.map((handler) => [handler.name, handler as ToolHandler]));
}

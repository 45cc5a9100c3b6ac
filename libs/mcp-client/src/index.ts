export { defaultCallPolicy, type CallPolicy } from './call-policy.js';
export {
  connectMcp,
  mcpRevision,
  type CallOptions,
  type McpAnswer,
  type McpConnection,
  type McpConnectionOptions,
  type ToolsResult,
} from './mcp-connection.js';

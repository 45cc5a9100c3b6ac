export { defaultCallPolicy, type CallPolicy } from './call-policy.js';
export {
  connectMcp,
  mcpRevision,
  type CallOptions,
  type McpAnswer,
  type McpConnection,
  type McpConnectionOptions,
} from './mcp-connection.js';

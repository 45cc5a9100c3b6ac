/** Ports inside the mesh; nothing of them can be reached from outside. */
export const mcpGrpcPort = 9_000;
/** MCP over Streamable HTTP, path `/mcp`. */
export const mcpHttpPort = 9_080;
/** AgentService, at each agent. */
export const agentGrpcPort = 9_001;

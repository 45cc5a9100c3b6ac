/** Where MCP is served, on every HTTP door. */
export const mcpPath = '/mcp';

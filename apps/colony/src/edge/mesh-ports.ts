/** Ports inside the mesh; nothing of them can be reached from outside. */
export const mcpGrpcPort = 9_000;
/** AgentService, at each agent. */
export const agentGrpcPort = 9_001;

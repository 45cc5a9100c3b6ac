export * from './gen/coral/colony/v1/admin.js';
export * from './gen/coral/colony/v1/colony.js';
export * from './gen/coral/colony/v1/enrollment.js';
export * from './gen/coral/colony/v1/ephemeral.js';
export * from './gen/coral/colony/v1/mcp.js';
export * from './gen/coral/colony/v1/telemetry.js';
export * from './gen/coral/colony/v1/transcript.js';

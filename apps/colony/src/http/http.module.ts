import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import { toolRulesOf } from '../colony.config.js';
import type { ColonyConfig } from '../colony.config.js';
import { COLONY_CONFIG } from '../edge/foundation.module.js';
import { JsonLogger } from '../edge/json-logger.js';
import { McpDoor } from '../mcp/mcp-door.js';
import { McpHttp } from '../mcp/mcp-http.js';
import { mcpPath } from '../mcp/mcp-path.js';
import { colonyHost } from '../mesh/address-plan.js';
import { ColonyMesh } from '../mesh/colony-mesh.js';
import {
  resourceMetadataPath,
  resourceMetadataRoute,
  serverMetadataPath,
  serverMetadataRoute,
} from '../public/oauth-metadata.js';
import { PublicAddress } from '../public/public-address.js';
import { TokenEndpoint } from '../public/token-endpoint.js';
import { tokenPath } from '../public/token-request.js';
import { HttpDoor } from './http-door.js';
import { HttpDoors } from './http-doors.js';
import { HttpRefusals } from './http-refusals.js';
import type { HttpRoute } from './http-route.js';

interface Parts {
  config: ColonyConfig;
  door: McpDoor;
  mesh: ColonyMesh;
  address: PublicAddress;
  tokens: TokenEndpoint;
  audit: AuditLog;
  logger: JsonLogger;
}

/** What is served over HTTP/1.1, and where. Plain node:http: these doors have five paths and their own order of checks. */
@Module({})
export class HttpModule {
  /** `mcp` is the module that holds the tools' door. */
  static of(mcp: DynamicModule): DynamicModule {
    return {
      module: HttpModule,
      imports: [mcp],
      providers: [
        {
          provide: HttpDoors,
          inject: [COLONY_CONFIG, McpDoor, ColonyMesh, PublicAddress, TokenEndpoint, AuditLog, JsonLogger],
          useFactory: (
            config: ColonyConfig,
            door: McpDoor,
            mesh: ColonyMesh,
            address: PublicAddress,
            tokens: TokenEndpoint,
            audit: AuditLog,
            logger: JsonLogger,
          ) => httpDoors({ config, door, mesh, address, tokens, audit, logger }),
        },
      ],
    };
  }
}

function httpDoors(parts: Parts): HttpDoors {
  return new HttpDoors(meshDoor(parts), parts.config.mcp_server.public ? publicDoor(parts) : undefined);
}

function meshDoor({ config, door, mesh, audit, logger }: Parts): HttpDoor {
  const { v4, v6 } = mesh.plan.addressesOf(colonyHost);
  const hosts = new Set([v4, v6]);
  const mcp = new McpHttp({ door, audience: 'mesh', resourceMetadata: undefined, logger });
  return new HttpDoor({
    entrance: { audience: 'mesh', hosts, origins: new Set(config.mcp_server.allowed_origins) },
    routes: new Map([[mcpPath, mcp]]),
    refusals: new HttpRefusals(audit),
    logger,
  });
}

function publicDoor({ config, door, address, tokens, audit, logger }: Parts): HttpDoor {
  const { enabled, required } = toolRulesOf(config);
  const scopes = [...new Set(enabled.map((tool) => required[tool].permission))];
  const hosts = new Set(address.names);
  const resourceMetadata = (): string => `${address.url}${resourceMetadataPath}${mcpPath}`;
  const aboutResource = resourceMetadataRoute(address, scopes);
  const aboutServer = serverMetadataRoute(address, scopes);
  const routes = new Map<string, HttpRoute>([
    [mcpPath, new McpHttp({ door, audience: 'public', resourceMetadata, logger })],
    [tokenPath, tokens],
    // RFC 9728 §3.1: the path of the resource stands behind; clients try the bare form too.
    [resourceMetadataPath, aboutResource],
    [`${resourceMetadataPath}${mcpPath}`, aboutResource],
    [serverMetadataPath, aboutServer],
  ]);
  return new HttpDoor({
    entrance: { audience: 'public', hosts, origins: new Set(config.mcp_server.allowed_origins) },
    routes,
    refusals: new HttpRefusals(audit),
    logger,
  });
}

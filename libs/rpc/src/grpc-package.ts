import type { loadPackageDefinition, ServiceDefinition } from '@grpc/grpc-js';

type PackageDefinition = Parameters<typeof loadPackageDefinition>[0];

/**
 * For Nest's `packageDefinition`, from ts-proto's services: `grpcPackage({ 'coral.colony.v1.McpService': McpServiceService })`.
 * So server and clients share one codec, and no .proto is read at run time. Handlers are named by the definitions' keys.
 */
export function grpcPackage(services: Record<string, ServiceDefinition>): PackageDefinition {
  return { ...services };
}

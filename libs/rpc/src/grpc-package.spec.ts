import { loadPackageDefinition, type makeClientConstructor } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { colonyV1, grpcPackage } from './index.js';

type ServiceClientConstructor = ReturnType<typeof makeClientConstructor>;

it('is what grpc-js and Nest load: services under their packages, with the codec of ts-proto', () => {
  const loaded = loadPackageDefinition(
    grpcPackage({
      'coral.colony.v1.EphemeralAgentService': colonyV1.EphemeralAgentServiceService,
      'coral.colony.v1.McpService': colonyV1.McpServiceService,
    }),
  );
  expect(loaded).toMatchObject({ coral: { colony: { v1: { McpService: expect.any(Function) } } } });
  const { v1 } = (loaded as { coral: { colony: { v1: Record<string, ServiceClientConstructor> } } }).coral.colony;
  const service = v1['EphemeralAgentService'];
  expect(service?.service).toBe(colonyV1.EphemeralAgentServiceService);
  expect(Object.keys(service?.prototype ?? {})).toEqual(Object.keys(colonyV1.EphemeralAgentServiceService));
});

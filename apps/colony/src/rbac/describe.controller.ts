import { Controller } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import type { colonyV1 } from '@coral/rpc';
import { Admits, Call } from '../edge/call-context.js';
import type { CallContext } from '../edge/call-context.js';
import { ColonyIdentity } from '../edge/colony-identity.js';
import { PolicyInForce } from './policy-in-force.js';

/** What a client may know before it holds a lease; to those with a credential, also what they may do. */
@Controller()
@Admits('person_or_anyone')
export class DescribeController {
  constructor(
    private readonly colony: ColonyIdentity,
    private readonly policy: PolicyInForce,
  ) {}

  @GrpcMethod('ColonyService', 'describeColony')
  describeColony(@Call() { person }: CallContext): colonyV1.DescribeColonyResponse {
    const known = { colonyId: this.colony.id, version: this.colony.version };
    if (person === undefined) return { ...known, userId: '', roles: [], permissions: [] };
    const policy = this.policy.current();
    const subject = { userId: person.userId };
    return {
      ...known,
      userId: person.userId,
      roles: policy.rolesOf(subject),
      permissions: policy.permissionsOf(subject),
    };
  }
}

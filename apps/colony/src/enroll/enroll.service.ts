import type { AuditLog } from '@coral/audit';
import { CoralError } from '@coral/errors';
import { agentIdOf, keyIdOf } from '@coral/model';
import type { Clock } from '@coral/model';
import type { ControlDb } from '../control/control-db.js';
import type { JoinTokenRepository } from '../credentials/join-token.repository.js';
import type { CallContext } from '../edge/call-context.js';
import type { ColonyMesh } from '../mesh/colony-mesh.js';
import { certificateHashProblem, publicKeyProblem } from '../mesh/public-key.js';
import { BadCertificateHash, BadPublicKey } from '../mesh/key.errors.js';
import type { AgentRepository, EnrolledAgent } from './agent.repository.js';
import { AgentKeyInUse, BadAgentName } from './enroll.errors.js';

export const maxAgentNameLength = 128;

export interface EnrollRequest {
  joinToken: string;
  name: string;
  publicKey: Uint8Array;
  /** Empty unless the mesh driver is `direct`. */
  directCertificateSha256: Uint8Array;
}

export interface EnrollParts {
  db: ControlDb;
  agents: AgentRepository;
  joinTokens: JoinTokenRepository;
  mesh: ColonyMesh;
  audit: Pick<AuditLog, 'append'>;
  clock: Clock;
}

/** How a permanent agent gets onto the mesh. Both answers have their audit row first. */
export class EnrollService {
  private readonly parts: EnrollParts;

  constructor(parts: EnrollParts) {
    this.parts = parts;
  }

  async enroll(request: EnrollRequest, call: CallContext): Promise<EnrolledAgent> {
    try {
      return await this.letIn(request, call);
    } catch (thrown) {
      if (!(thrown instanceof CoralError) || thrown.reason === 'audit_unavailable') throw thrown;
      await this.parts.audit.append({
        kind: 'agent.refused',
        user_id: null,
        agent_id: null,
        payload: {
          name: request.name,
          kind: thrown.kind,
          reason: thrown.reason,
          ip_address: call.remoteAddress,
          user_agent: call.userAgent,
        },
      });
      throw thrown;
    }
  }

  private async letIn(request: EnrollRequest, call: CallContext): Promise<EnrolledAgent> {
    const { db, agents, joinTokens, mesh, clock } = this.parts;
    // The credential first: what is wrong with the rest is only told to those who hold one.
    joinTokens.check(request.joinToken);
    const directCertificateSha256 = this.checked(request);
    const agentId = agentIdOf(request.publicKey, 'agt');
    const keyId = keyIdOf(request.publicKey);
    const { agent, tokenId } = db.transaction(() => {
      if (mesh.isOwnKey(request.publicKey) || agents.isOnMesh(keyId)) throw new AgentKeyInUse();
      const token = joinTokens.spend(request.joinToken, agentId);
      const enrolled = agents.insert({
        agentId,
        keyId,
        publicKey: request.publicKey,
        name: request.name,
        owner: token.owner,
        labels: token.labels,
        directCertificateSha256,
        enrolledAt: clock.now(),
      });
      return { agent: enrolled, tokenId: token.tokenId };
    });
    try {
      await this.recordEnrolment(agent, tokenId, call);
    } catch (thrown) {
      db.transaction(() => {
        agents.remove(agentId);
        joinTokens.giveBack(tokenId);
      });
      throw thrown;
    }
    mesh.add(agent);
    return agent;
  }

  private checked(request: EnrollRequest): Uint8Array | undefined {
    const keyProblem = publicKeyProblem(request.publicKey);
    if (keyProblem !== undefined) throw new BadPublicKey('public_key', keyProblem);
    const { name } = request;
    if (name === '' || name.length > maxAgentNameLength || /\p{C}/u.test(name)) {
      throw new BadAgentName(maxAgentNameLength);
    }
    if (!this.parts.mesh.wantsCertificate) return undefined;
    const hashProblem = certificateHashProblem(request.directCertificateSha256);
    if (hashProblem !== undefined) throw new BadCertificateHash(hashProblem);
    return request.directCertificateSha256;
  }

  private async recordEnrolment(agent: EnrolledAgent, tokenId: string, call: CallContext): Promise<void> {
    await this.parts.audit.append({
      kind: 'agent.enroll',
      user_id: null,
      agent_id: agent.agentId,
      payload: {
        name: agent.name,
        owner: agent.owner,
        labels: agent.labels,
        key_id: agent.keyId,
        join_token_id: tokenId,
        ip_address: call.remoteAddress,
        user_agent: call.userAgent,
      },
    });
  }
}

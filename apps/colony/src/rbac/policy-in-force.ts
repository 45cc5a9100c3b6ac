import type { AuditLog } from '@coral/audit';
import { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import { watchPolicyFile } from '@coral/policy';
import type { Policy, PolicyTriggers, PolicyWatch } from '@coral/policy';
import type { JsonLogger } from '../edge/json-logger.js';

export interface PolicyInForceOptions {
  file: string;
  audit: Pick<AuditLog, 'append'>;
  logger: JsonLogger;
  clock: Clock;
  triggers?: PolicyTriggers;
}

/** The policy that decides right now. Every version that came into force, and every one that did not, has its audit row. */
export class PolicyInForce implements AsyncDisposable {
  private readonly watch: PolicyWatch;

  private constructor(watch: PolicyWatch) {
    this.watch = watch;
  }

  /** Throws where a broken file says so itself: `file:line:col`. */
  static async open(options: PolicyInForceOptions): Promise<PolicyInForce> {
    const { file, audit, logger } = options;
    const loaded = async (policy: Policy): Promise<void> => {
      logger.say('info', 'policy in force', { file, revision: policy.revision });
      await audit.append({
        kind: 'policy.loaded',
        user_id: null,
        agent_id: null,
        payload: { file, revision: policy.revision },
      });
    };
    const refused = async (error: CoralError): Promise<void> => {
      logger.say('error', 'policy refused', { file, where: error.where, reason: error.reason, problem: error.message });
      const { kind, reason, message, where = null } = error;
      const payload = { file, kind, reason, message, where };
      await audit.append({ kind: 'policy.refused', user_id: null, agent_id: null, payload });
    };
    // A row that cannot be written stops no reload: a tighter policy must not wait for a full disk.
    const unrecorded = (thrown: unknown): void => logger.failure('a policy change could not be audited', thrown);
    try {
      const watch = await watchPolicyFile(file, {
        clock: options.clock,
        ...(options.triggers === undefined ? {} : { triggers: options.triggers }),
        onChange: (policy) => loaded(policy).catch(unrecorded),
        onError: (error) => void refused(error).catch(unrecorded),
      });
      await loaded(watch.current());
      return new PolicyInForce(watch);
    } catch (thrown) {
      if (thrown instanceof CoralError && thrown.reason !== 'audit_unavailable') await refused(thrown);
      throw thrown;
    }
  }

  current(): Policy {
    return this.watch.current();
  }

  /** Looks at the file now instead of at the next poll. */
  async check(): Promise<void> {
    await this.watch.check();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watch.close();
  }
}

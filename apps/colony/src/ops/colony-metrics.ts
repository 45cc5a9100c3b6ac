import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { AuditLog } from '@coral/audit';
import { AgentRepository } from '../enroll/agent.repository.js';
import { LeaseRepository } from '../ephemeral/lease.repository.js';

/** What Prometheus scrapes. Counts only: no user, service or agent is named. */
export class ColonyMetrics {
  private readonly registry = new Registry();

  constructor(leases: LeaseRepository, agents: AgentRepository, audit: AuditLog) {
    collectDefaultMetrics({ register: this.registry });
    this.gauge('coral_leases_active', 'Leases that hold right now.', () => leases.listAlive().length);
    this.gauge('coral_agents_enrolled', 'Permanent agents that ever joined.', () => agents.list().length);
    this.gauge('coral_audit_rows', 'Rows in the audit.', () => audit.head().seq + 1);
    this.gauge('coral_audit_writable', '1 while audit rows can be written; at 0 every call is refused.', () =>
      Number(audit.writable()),
    );
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  private gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.registry], collect: () => gauge.set(read()) });
  }
}

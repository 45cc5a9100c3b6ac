import { formatDuration } from '@coral/model';
import type { colonyV1 } from '@coral/rpc';
import { renderTable } from './table.js';
import { formatAge } from './words.js';

/** RFD 028's table of live leases, column for column. Times are against `now`, ms since the epoch. */
export function leaseTable(agents: readonly colonyV1.EphemeralAgent[], now: number, width: number): string[] {
  const rows = agents.map(({ agentId, userId, createdAt, expiresAt, purpose }) => [
    agentId,
    userId,
    createdAt ? formatAge(now - createdAt.getTime()) : '–',
    expiresAt ? formatDuration(wholeSeconds(expiresAt.getTime() - now)) : '–',
    purpose,
  ]);
  const columns = [
    { title: 'Agent ID', minWidth: 23 },
    { title: 'User', minWidth: 10 },
    { title: 'Created', minWidth: 8 },
    { title: 'Expires', minWidth: 8 },
    { title: 'Purpose' },
  ];
  return renderTable(columns, rows, width);
}

export function agentTable(agents: readonly colonyV1.PermanentAgent[], now: number, width: number): string[] {
  const rows = agents.map(({ agentId, name, owner, lastSeenAt, services, labels }) => [
    agentId,
    name,
    owner,
    lastSeenAt ? formatAge(now - lastSeenAt.getTime()) : 'never',
    services.join(', '),
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(', '),
  ]);
  return renderTable(
    ['Agent ID', 'Name', 'Owner', 'Last seen', 'Services', 'Labels'].map((title) => ({ title })),
    rows,
    width,
  );
}

function wholeSeconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1_000) * 1_000);
}

import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Mesh } from '@coral/mesh';
import type { Target } from './http-load.js';
import { MeshAgent } from './mesh-agent.js';

/** The two ways in: the TLS port everybody can reach, and HTTP inside the mesh (driver `direct`, so TLS as well). */
export const doors = ['public', 'mesh'] as const;
export type DoorName = (typeof doors)[number];

/** One of the two servers that are compared. */
export interface Side extends AsyncDisposable {
  /** Of its process. */
  pid: number;
  /** Where to send requests; token and body are put in by the caller. */
  ways: Record<DoorName, Pick<Target, 'options' | 'tls'>>;
  /** What each door wants to see as a bearer token. */
  tokens: Record<DoorName, string>;
}

export function overTls(endpoint: string, ca: string): Pick<Target, 'options' | 'tls'> {
  const [host, port] = endpoint.split(':');
  return { tls: true, options: { host, port, path: '/mcp', ca, agent: new TlsAgent({ keepAlive: true }) } as never };
}

export function throughMesh(mesh: Mesh, address: string, port: number): Pick<Target, 'options' | 'tls'> {
  const agent: PlainAgent = new MeshAgent(mesh, address, port);
  return { tls: false, options: { host: address, port, path: '/mcp', agent } };
}

/** What the bare server is told, as JSON in a file. Binary values are base64. */
export interface BareSettings {
  /** As the colony lists it. */
  tool: {
    name: string;
    description: string;
    inputSchema: Record<string, unknown>;
    outputSchema?: Record<string, unknown>;
  };
  /** What the colony answered: the bare server answers the same, without having to find it. */
  body: Record<string, unknown>;
  tls: { keyPem: string; certPem: string };
  /** The one who may come in through the mesh. */
  client: { publicKey: string; certificateSha256: string };
}

export interface BareReady {
  event: 'ready';
  /** host:port of the TLS port. */
  endpoint: string;
  mesh: { endpoint: string; publicKey: string; certificateSha256: string; address: string; port: number };
}

export const bareMeshAddress = '10.137.0.1';
export const bareMeshPort = 9_080;

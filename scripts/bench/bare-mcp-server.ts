// What `bench:mcp` compares the colony with: the SDK's HTTP handler with one tool, as its documentation shows it. No
// tokens, no rights, no audit. It listens where the colony does: on a TLS port, and in a mesh of the driver `direct`.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { openDirectMesh } from '@coral/mesh';
import { keyIdOf, systemClock } from '@coral/model';
import { bareMeshAddress, bareMeshPort, type BareReady, type BareSettings } from './support/bare-settings.js';

const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as BareSettings;
const { tool, body } = settings;

/** Read once: the SDK keeps what it made of a schema as long as the schema lives. */
const schemas = {
  inputSchema: fromJsonSchema(tool.inputSchema),
  ...(tool.outputSchema === undefined ? {} : { outputSchema: fromJsonSchema(tool.outputSchema) }),
};
const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'bare', version: '1.0.0' });
  server.registerTool(tool.name, { description: tool.description, ...schemas }, async () => ({
    content: [{ type: 'text', text: JSON.stringify(body) }],
    structuredContent: body,
  }));
  return server;
});
const answer = toNodeHandler(handler);
const listener = (request: IncomingMessage, response: ServerResponse): void => void answer(request, response);

const tls = createTlsServer({ key: settings.tls.keyPem, cert: settings.tls.certPem, minVersion: 'TLSv1.3' }, listener);
await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));

const keyPair = newWireGuardKeyPair();
const certificate = await newSelfSigned('bare');
const mesh = await openDirectMesh({
  keyPair,
  certificate,
  listen: { host: '127.0.0.1', port: 0 },
  production: false,
  clock: systemClock,
});
const client = Buffer.from(settings.client.publicKey, 'base64');
mesh.addPeer({
  keyId: keyIdOf(client),
  publicKey: client,
  addresses: ['10.137.128.1'],
  direct: { certificateSha256: Buffer.from(settings.client.certificateSha256, 'base64') },
});
const plain = createServer(listener);
await mesh.listen(bareMeshPort, (socket) => plain.emit('connection', socket));

const ready: BareReady = {
  event: 'ready',
  endpoint: `127.0.0.1:${(tls.address() as AddressInfo).port}`,
  mesh: {
    endpoint: mesh.endpoint ?? '',
    publicKey: keyPair.publicKey.toString('base64'),
    certificateSha256: certificate.sha256.toString('base64'),
    address: bareMeshAddress,
    port: bareMeshPort,
  },
};
process.stdout.write(`${JSON.stringify(ready)}\n`);

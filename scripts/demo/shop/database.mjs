// One database of the demo shop: PostgreSQL (pglite) behind its own wire protocol, with a table worth scanning.
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { createServer } from 'node:net';

const rows = Number(process.env.SHOP_ROWS ?? 120_000);
const database = await PGlite.create();
await database.exec(`
  CREATE TABLE entries (id serial PRIMARY KEY, customer text NOT NULL, note text NOT NULL, amount int NOT NULL);
  INSERT INTO entries (customer, note, amount)
    SELECT 'customer-' || (i % 500), repeat(md5(i::text), 2), i % 1000 FROM generate_series(1, ${rows}) AS t(i);
  CREATE INDEX entries_customer ON entries (customer);
  ANALYZE entries;
`);

/** The socket server takes a port but cannot tell which one it got: ask for a free one first. */
async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const port = await freePort();
const server = new PGLiteSocketServer({ db: database, host: '127.0.0.1', port, maxConnections: 32 });
await server.start();
process.stdout.write(`${JSON.stringify({ event: 'ready', port })}\n`);

// A maintenance job that someone started at a bad time: each pass scans the whole table, and queries wait behind it.
let maintenance = false;
async function maintain() {
  while (maintenance) {
    await database.query(`SELECT count(*) FROM entries WHERE lower(note) LIKE '%' || lower(note) || '%'`);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}
process.on('SIGUSR2', () => {
  maintenance = !maintenance;
  void maintain();
});
process.on('SIGTERM', () => process.exit(0));

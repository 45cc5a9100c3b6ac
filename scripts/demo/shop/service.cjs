// One service of the demo shop: an ordinary HTTP service as anyone could have written it. It knows nothing of Coral;
// OpenTelemetry comes in from outside, by --require @opentelemetry/auto-instrumentations-node/register.
'use strict';
const express = require('express');
const { Pool } = require('pg');

/**
 * @type {{
 *   port: number,
 *   database?: { host: string, port: number },
 *   routes: Record<string, { calls?: string[], sql?: string, provider?: { ms: number, slots: number } }>,
 * }}
 */
const config = JSON.parse(process.env.SHOP_CONFIG);
const pool = config.database && new Pool({ ...config.database, user: 'postgres', database: 'postgres', max: 4 });
// A connection that the database closed is replaced by the pool at the next query.
pool?.on('error', (error) => process.stderr.write(`${error.message}\n`));

/** An outside provider that takes its time and serves only so many at once. */
function waitingRoom({ ms, slots }) {
  let free = slots;
  const queue = [];
  const next = () => {
    if (free === 0 || queue.length === 0) return;
    free -= 1;
    const done = queue.shift();
    setTimeout(() => {
      free += 1;
      done();
      next();
    }, ms);
  };
  return () =>
    new Promise((resolve) => {
      queue.push(resolve);
      next();
    });
}

const app = express();
for (const [path, route] of Object.entries(config.routes)) {
  const provider = route.provider ? waitingRoom(route.provider) : undefined;
  app.get(path, async (request, response) => {
    for (const url of route.calls ?? []) {
      const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
    }
    if (provider) await provider();
    const customer = `customer-${Math.floor(Math.random() * 500)}`;
    const found = route.sql ? (await pool.query(route.sql, [customer])).rows : [];
    response.json({ ok: true, found: found.length });
  });
}
// Express wants all four arguments to know an error handler.
app.use((error, _request, response, _next) => response.status(503).json({ error: error.message }));

// With reusePort, the next version listens before this one leaves.
const server = app.listen(
  { port: config.port, host: '127.0.0.1', reusePort: config.port !== 0 || process.platform === 'linux' },
  () => {
    process.stdout.write(`${JSON.stringify({ event: 'ready', port: server.address().port })}\n`);
  },
);

process.on('SIGTERM', () => {
  server.close(() => {
    void Promise.resolve(pool?.end()).finally(() => process.exit(0));
  });
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 2_000).unref();
});

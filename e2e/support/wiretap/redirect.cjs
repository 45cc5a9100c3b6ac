// Loaded into a program under test by NODE_OPTIONS=--require: each TCP connection it opens goes to the wiretap at
// WIRETAP_PORT instead, and WIRETAP_LOG says for each local port where it was meant to go. Nothing else changes.
'use strict';
const { appendFileSync } = require('node:fs');
const net = require('node:net');

const { connect } = net.Socket.prototype;

net.Socket.prototype.connect = function redirected(...args) {
  // net.connect() hands its arguments over as one list: [options, callback].
  const listed = Array.isArray(args[0]);
  const options = listed ? args[0][0] : args[0];
  if (typeof options !== 'object' || options === null || options.port === undefined) return connect.apply(this, args);
  const { host = 'localhost', port } = options;
  this.prependOnceListener('connect', () => {
    appendFileSync(process.env.WIRETAP_LOG, `${JSON.stringify({ from: this.localPort, host, port: Number(port) })}\n`);
  });
  const there = { ...options, host: '127.0.0.1', port: Number(process.env.WIRETAP_PORT) };
  if (!listed) return connect.call(this, there, ...args.slice(1));
  args[0][0] = there;
  return connect.apply(this, args);
};

export const defaultDialTimeoutMs = 10_000;
/** Expired peers' idle streams are cut at least this often, clock jumps included. Live ones are checked on every byte. */
export const sweepEveryMs = 500;
/** Where `listen(0)` looks for a free mesh port (RFC 6335's dynamic ports). */
export const firstDynamicPort = 49_152;
export const lastPort = 65_535;

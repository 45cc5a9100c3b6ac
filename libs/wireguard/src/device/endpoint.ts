import type { Endpoint } from '../cookie/index.js';

/** The port first: it differs most often, and costs least. */
export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a === b || (a.port === b.port && a.address === b.address && a.carrier === b.carrier);
}

import { existsSync } from 'node:fs';
import { CoralError } from '@coral/errors';

/** In bundles: how far the worker's file may be above the chunk this code ended up in. */
const places = ['./mesh-worker.js', '../mesh-worker.js', '../../mesh-worker.js', '../../../mesh-worker.js'];

/** The worker's program: built beside ours; run from sources, the sources. */
export function workerFile(): URL {
  const here = import.meta.url;
  if (here.endsWith('.ts')) return new URL('./worker/from-source.mjs', here);
  const found = places.map((place) => new URL(place, here)).find((url) => existsSync(url));
  if (found) return found;
  throw new CoralError({
    kind: 'internal',
    reason: 'mesh_worker_missing',
    message: 'The program of the mesh worker, mesh-worker.js, is not beside the other programs.',
    next: 'Build or install again.',
  });
}

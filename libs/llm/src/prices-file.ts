import { CoralError } from '@coral/errors';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parsePrices, type Prices } from './prices.js';

const place = 'config/prices.yaml';
let shipped: Promise<Prices> | undefined;

/**
 * The prices this version of Coral came with: config/prices.yaml of the folder it is installed in. Read once, and only
 * by those who ask for a price. Errors: failed_precondition `prices_missing`, or what is wrong in the file.
 */
export function shippedPrices(): Promise<Prices> {
  shipped ??= readShipped();
  return shipped;
}

async function readShipped(): Promise<Prices> {
  const path = findUpwards(import.meta.dirname);
  return parsePrices(await readFile(path, 'utf8'), path);
}

/** Sources and bundles lie at different depths below the folder that has both package.json and config/. */
function findUpwards(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const path = join(folder, place);
    if (existsSync(path)) return path;
    if (folder === dirname(folder) || existsSync(join(folder, 'package.json'))) throw new PricesMissing(folder);
  }
}

export class PricesMissing extends CoralError {
  constructor(folder: string) {
    super({
      kind: 'failed_precondition',
      reason: 'prices_missing',
      where: join(folder, place),
      message: `The price table ${place} is missing, so no cost can be told.`,
      next: 'Install Coral again: the file belongs to it.',
    });
  }
}

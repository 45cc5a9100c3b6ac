import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { faults } from './incident.js';
import { projectRoot } from './processes.js';
import { demoNames } from './shop.js';

/** Product code: everything that is built into the three programs. */
const product = globSync('{apps,libs}/*/src/**/*.ts', {
  cwd: projectRoot,
  exclude: (path) => /\.spec\.ts$|\/(gen|spec-support|testing|incidents)(\/|$)/.test(path),
});

it('product code knows no service, version or fault of the demo', () => {
  const { front, ...others } = demoNames;
  const told = faults.filter((fault) => fault.includes('-'));
  const versions = ['1.3.0', '1.4.0', '2.7.1', '2.8.0', '5.0.2', '3.1.0'];
  const words = [...Object.values(others), ...told, ...versions].map((word) => word.replaceAll('.', '\\.'));
  // `web` is an English word: only as a name of its own, in quotes.
  const forbidden = new RegExp(`\\b(${words.join('|')})s?\\b|['"\`]${front}['"\`]`, 'i');
  expect(product.length).toBeGreaterThan(200);
  const found = product.flatMap((path) =>
    readFileSync(join(projectRoot, path), 'utf8')
      .split('\n')
      .flatMap((line, i) => (forbidden.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  );
  expect(found).toEqual([]);
});

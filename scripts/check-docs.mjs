// Links between the pages of the docs lead somewhere, and shown `npm run` commands exist. That every shown `coral`
// command works as printed is proved by e2e/docs.e2e-spec.ts.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
const problems = [];
for (const page of ['README.md', 'CHANGELOG.md', ...globSync('docs/**/*.md'), ...globSync('libs/*/README.md')]) {
  const text = readFileSync(page, 'utf8');
  for (const [, target] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    if (!existsSync(join(dirname(page), target))) problems.push(`${page}: link to ${target} leads nowhere`);
  }
  for (const [, name] of text.matchAll(/npm run (?:-s )?([\w:-]+)/g)) {
    if (!Object.hasOwn(scripts, name)) problems.push(`${page}: npm run ${name} does not exist`);
  }
}
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
}

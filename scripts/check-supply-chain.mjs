// What the lock may contain: exact versions, no install scripts but the named ones, known licences, no version below
// the lowest safe one.
import { readFileSync } from 'node:fs';

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const { lowestSafe, installScripts, licences, licenceExceptions } = JSON.parse(
  readFileSync('scripts/supply-chain.json', 'utf8'),
);
const root = packages[''];
const problems = [];

for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
  for (const [name, range] of Object.entries(root[kind] ?? {})) {
    if (!/^(npm:@?[^@]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(range))
      problems.push(`${name}: ${range} is not an exact version`);
  }
}

const numbers = (version) => version.split('-')[0].split('.').map(Number);
function isBelow(version, floor) {
  const [have, want] = [numbers(version), numbers(floor)];
  for (let i = 0; i < 3; i++) if (have[i] !== want[i]) return have[i] < want[i];
  return false;
}

for (const [path, record] of Object.entries(packages)) {
  if (path === '' || record.link) continue;
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  if (record.hasInstallScript && !installScripts.includes(name)) problems.push(`${name}: has an install script`);
  if (lowestSafe[name] && isBelow(record.version, lowestSafe[name].version)) {
    problems.push(`${name} ${record.version} is below ${lowestSafe[name].version}: ${lowestSafe[name].why}`);
  }
  // Records of foreign platforms carry no licence; their twins of this platform do.
  if (!record.license) continue;
  const known = record.license.split(/ OR | AND |[()]/).filter(Boolean);
  const fine = record.license.includes(' OR ')
    ? known.some((l) => licences.includes(l))
    : known.every((l) => licences.includes(l));
  if (!fine && !licenceExceptions[name]) problems.push(`${name}: licence ${record.license} is not on the list`);
}

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
}

// Completes package-lock.json: npm leaves out optional packages of foreign platforms that it could not look up, and
// `npm ci` then calls the lock out of sync. Those that the committed lock knows are taken from there; every other optional
// dependency without a record gets one, derived from its name. Run after each change of dependencies.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const oses = ['linux', 'darwin', 'win32', 'freebsd', 'openbsd', 'netbsd', 'android', 'openharmony', 'sunos', 'aix'];
const cpus = ['x64', 'arm64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el', 'wasm32'];

const committed = JSON.parse(
  execFileSync('git', ['show', 'HEAD:package-lock.json'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }),
);
const wanted = new Set(
  Object.values(lock.packages).flatMap((record) => Object.keys(record.optionalDependencies ?? {})),
);
let added = 0;
for (const [path, record] of Object.entries(committed.packages)) {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  if (lock.packages[path] || !(record.os || record.cpu || record.libc) || !wanted.has(name)) continue;
  lock.packages[path] = record;
  added += 1;
}
for (const [path, record] of Object.entries({ ...lock.packages })) {
  for (const [name, version] of Object.entries(record.optionalDependencies ?? {})) {
    const nested = `${path === '' ? '' : `${path}/`}node_modules/${name}`;
    const root = `node_modules/${name}`;
    if (lock.packages[nested] || lock.packages[root]?.version === version) continue;
    if (!/^\d/.test(version)) continue;
    const words = name.split(/[-/.]/);
    lock.packages[lock.packages[root] ? nested : root] = {
      version,
      optional: true,
      os: words.filter((w) => oses.includes(w)),
      cpu: words.filter((w) => cpus.includes(w)),
    };
    added += 1;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} records of foreign platforms added`);

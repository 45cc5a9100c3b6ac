// Run by itself: says what it may do, as one line of JSON.
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

function tryWrite(folder: string): string {
  try {
    writeFileSync(`${folder}/coral-privileges-probe`, '');
    return 'written';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

const status = Object.fromEntries(
  readFileSync('/proc/self/status', 'utf8')
    .split('\n')
    .map((line) => line.split(/:\s+/)),
) as Record<string, string>;

console.log(
  JSON.stringify({
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    groups: process.getgroups?.(),
    capabilities: [status.CapInh, status.CapPrm, status.CapEff, status.CapBnd, status.CapAmb],
    noNewPrivileges: status.NoNewPrivs,
    writes: ['/', tmpdir(), '/var/tmp', process.cwd()].map(tryWrite),
  }),
);

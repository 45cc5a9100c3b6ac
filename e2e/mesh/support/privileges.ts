import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

export interface Privileges {
  uid: number | undefined;
  gid: number | undefined;
  groups: number[] | undefined;
  /** Inheritable, permitted, effective, bounding, ambient; as the kernel writes them. */
  capabilities: (string | undefined)[];
  noNewPrivileges: string | undefined;
  /** What became of writing a file to each of several folders. */
  writes: string[];
}

/** What this process may do, by asking the kernel and by trying. */
export function whatIMayDo(): Privileges {
  const lines = readFileSync('/proc/self/status', 'utf8').split('\n');
  const status = Object.fromEntries(lines.map((line) => line.split(/:\s+/))) as Record<string, string | undefined>;
  return {
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    groups: process.getgroups?.(),
    capabilities: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((set) => status[set]),
    noNewPrivileges: status.NoNewPrivs,
    writes: ['/', tmpdir(), '/var/tmp', process.cwd()].map(tryWrite),
  };
}

function tryWrite(folder: string): string {
  try {
    writeFileSync(`${folder}/coral-privileges`, '');
    return 'written';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

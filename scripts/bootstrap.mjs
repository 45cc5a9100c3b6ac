// What `npm run demo`, `npm test`, `npm run check` and `npm run build` do first, on a machine with nothing but Node 20
// and npm: install what the lock says when it is missing or stale, build when sources changed, then hand over to the
// project's own Node. Plain Node 20, no dependencies. Everything it says goes to stderr: stdout belongs to the command.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const installStamp = join(root, 'node_modules', '.coral-installed');
const buildStamp = join(root, 'dist', '.coral-built');
const bin = join(root, 'node_modules', '.bin');
const [task, ...rest] = process.argv.slice(2);

const programs = {
  build: undefined,
  demo: join(root, 'dist', 'demo.js'),
  test: join(root, 'scripts', 'test.mjs'),
  check: join(root, 'scripts', 'check.mjs'),
  'bench:mcp': join(root, 'dist', 'bench', 'mcp.js'),
};

function say(line) {
  process.stderr.write(`${line}\n`);
}

function sha256OfFiles(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function filesBelow(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(path);
      return entry.isFile() ? [path] : [];
    })
    .toSorted();
}

function stampSays(file, value) {
  return existsSync(file) && readFileSync(file, 'utf8') === value;
}

function run(command, args, environment = process.env) {
  const done = spawnSync(command, args, { cwd: root, env: environment, stdio: ['ignore', 2, 2] });
  if (done.error) throw done.error;
  return done.status ?? 1;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Two commands started side by side in one tree install and build once; the second waits. */
function withLock(work) {
  const lock = join(root, '.coral-bootstrap.lock');
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const owner = existsSync(join(lock, 'pid')) ? Number(readFileSync(join(lock, 'pid'), 'utf8')) : 0;
      const age = existsSync(lock) ? Date.now() - statSync(lock).mtimeMs : 0;
      if ((owner > 0 && !isAlive(owner)) || (owner === 0 && age > 10_000))
        rmSync(lock, { recursive: true, force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
    }
  }
  writeFileSync(join(lock, 'pid'), String(process.pid));
  try {
    return work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function install() {
  const wanted = sha256OfFiles(['package.json', 'package-lock.json']);
  if (stampSays(installStamp, wanted)) return;
  say('coral: installing the locked dependencies (once, about a minute) …');
  const npm = process.env.npm_execpath;
  const status = npm?.endsWith('.js') ? run(process.execPath, [npm, 'ci']) : run('npm', ['ci']);
  if (status !== 0) {
    say('coral: npm ci failed; its messages stand above.');
    process.exit(status);
  }
  writeFileSync(installStamp, wanted);
}

function projectNode() {
  const ours = join(bin, 'node');
  const node = existsSync(ours) ? ours : process.execPath;
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
  if (Number(/^v(\d+)/.exec(version)?.[1]) < 24) {
    say(
      `coral: needs Node 24 or newer and found ${version}; no packaged Node exists for ${process.platform}-${process.arch}: install one.`,
    );
    process.exit(78);
  }
  return node;
}

function build(node, environment) {
  const sources = ['apps', 'libs', 'proto', 'scripts', 'e2e'].flatMap((folder) => filesBelow(folder));
  const wanted = sha256OfFiles([...sources, 'package-lock.json', 'tsconfig.json', 'rolldown.config.mjs']);
  if (stampSays(buildStamp, wanted)) return;
  say('coral: building …');
  const status = run(node, [join(root, 'scripts', 'build.mjs')], environment);
  if (status !== 0) process.exit(status);
  writeFileSync(buildStamp, wanted);
}

if (!Object.hasOwn(programs, task ?? '')) {
  say(`coral: bootstrap knows ${Object.keys(programs).join(', ')}`);
  process.exit(2);
}

const environment = { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` };
const node = withLock(() => {
  install();
  const found = projectNode();
  build(found, environment);
  return found;
});
environment.CORAL_BOOTSTRAPPED_AT = String(Date.now());
const program = programs[task];
if (program) {
  const child = spawn(node, [program, ...rest], { cwd: root, env: environment, stdio: 'inherit' });
  // Ctrl-C reaches the child by itself; it decides when to end, and we wait for it.
  process.on('SIGINT', () => undefined);
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    throw error;
  });
  child.on('exit', (code, signal) => process.exit(signal ? 128 + osConstants.signals[signal] : (code ?? 1)));
}

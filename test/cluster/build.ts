// The programs of the tests' control plane: built once from pinned Go modules into a cache outside the checkout.
// Run directly, it builds what is missing and prints the paths.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheFolder } from '../../scripts/cache_folder.ts';
import { withLock } from '../../scripts/lock.ts';
import { formatSeconds, goBuild, goToolchain, type Log } from './go_build.ts';
import { type Program, programs } from './versions.ts';

/** Absolute paths of the programs. */
export type Binaries = { readonly [name in keyof typeof programs]: string };

/**
 * Returns the programs' paths, building first what the cache lacks. Two processes may call it at once: one builds, the
 * other waits for it.
 *
 * @param log takes one line at a time about what takes long
 * @throws Error if `go` is missing, too old, or fails
 */
export async function ensureBinaries(
  log: Log = logToStderr,
  wanted: readonly (keyof Binaries)[] = ALL,
): Promise<Binaries> {
  const root = cacheFolder();
  const others = wanted.filter((key) => given[key] === undefined);
  if (others.length === 0) return { ...NOWHERE, ...given };
  const toolchain = await goToolchain(programs.kubeApiserver.module.folder);
  const entries = others.map((key) => ({
    key,
    program: programs[key],
    path: join(root, cacheKey(programs[key], toolchain), programs[key].name),
  }));
  if (entries.some(({ path }) => !existsSync(path))) {
    await mkdir(root, { recursive: true });
    const onWait = () => log('another process is building the test cluster: waiting for it');
    await withLock(join(root, 'lock.db'), onWait, async () => {
      const missing = entries.filter(({ path }) => !existsSync(path)).values();
      const build = async () => {
        for (const { program, path } of missing) await buildInto(root, program, path, log);
      };
      await Promise.all(Array.from({ length: buildsAtOnce(process.availableMemory(), availableParallelism()) }, build));
    });
  }
  return { ...NOWHERE, ...Object.fromEntries(entries.map(({ key, path }) => [key, path])), ...given };
}

const ALL = Object.keys(programs) as (keyof Binaries)[];
/** What was not asked for. */
const NOWHERE: Binaries = { etcd: '', kubeApiserver: '', kubectl: '', kwok: '' };

let given: Partial<Binaries> = {};

/** From now on this process uses these instead of building its own. */
export function useGiven(paths: Partial<Binaries>): void {
  given = paths;
}

/** One program beside those of the control plane. @returns its path */
export async function ensureProgram(program: Program, log: Log = logToStderr): Promise<string> {
  const root = cacheFolder();
  const path = join(root, cacheKey(program, await goToolchain(program.module.folder)), program.name);
  if (existsSync(path)) return path;
  await mkdir(root, { recursive: true });
  const onWait = () => log('another process is building the test cluster: waiting for it');
  await withLock(join(root, 'lock.db'), onWait, async () => {
    if (!existsSync(path)) await buildInto(root, program, path, log);
  });
  return path;
}

/** The linker of kube-apiserver takes 2 GiB; a build alone leaves half of the processors idle where it links. */
export function buildsAtOnce(memory_bytes: number, processors: number): number {
  return Math.max(1, Math.min(2, processors, Math.floor(memory_bytes / BUILD_BYTES)));
}

const BUILD_BYTES = 3 * 2 ** 30;

/** Everything that decides what comes out of a build, so that a program of other pins is never taken for it. */
function cacheKey(program: Program, toolchain: string): string {
  const { module, variables } = program;
  const pins = createHash('sha256').update(module.pins).update(variables.join('\n')).digest('hex').slice(0, 12);
  return `${module.name}-${module.version}-${toolchain}-${pins}`;
}

async function buildInto(root: string, program: Program, path: string, log: Log): Promise<void> {
  const folder = join(path, '..');
  await mkdir(folder, { recursive: true });
  await removeUnfinished(folder);
  const lastTime = join(root, `${program.name}.seconds`);
  const expected_seconds = Number(await readFile(lastTime, 'utf8').catch(() => program.usual_seconds));
  log(`building ${program.name} ${program.module.version}, once: about ${formatSeconds(expected_seconds)}`);
  const started = performance.now();
  const unfinished = join(folder, `${program.name}.${process.pid}.unfinished`);
  await goBuild(program, unfinished, expected_seconds, log);
  await syncFile(unfinished);
  await rename(unfinished, path);
  const seconds = Math.round((performance.now() - started) / 1000);
  await writeFile(lastTime, String(seconds));
  log(`built ${program.name} in ${formatSeconds(seconds)}: ${path}`);
}

/** What a build that was killed left behind; its lock is ours now. */
async function removeUnfinished(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.unfinished'));
  await Promise.all(names.map((name) => rm(join(folder, name), { force: true })));
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function logToStderr(line: string): void {
  process.stderr.write(`test cluster: ${line}\n`);
}

if (import.meta.main) {
  try {
    for (const path of Object.values(await ensureBinaries())) console.log(path);
  } catch (error) {
    logToStderr(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

// Builds the native program from cli/native and the same TypeScript that the plugin is: bytecode, a little C, one engine.
// Run directly, it builds all targets, as they are published: npm run native

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, glob, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { withLock } from '../lock.ts';
import { run } from '../run.ts';
import { nativePartsWithTexts } from '../supply/native_parts.ts';
import { printParts } from '../supply/third_party.ts';
import { hostTriple, TARGETS, type Target } from './targets.ts';
import { ensureTools, type Tools } from './tools.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const SOURCES = path.join(ROOT, 'cli/native');
const ENGINE = ['quickjs', 'libregexp', 'libunicode', 'dtoa'] as const;
const OPTIMIZE = ['-O2', '-DNDEBUG', '-ffunction-sections', '-fdata-sections'] as const;

type Log = (line: string) => void;
const toStderr: Log = (line) => void process.stderr.write(`${line}\n`);

export function nativeProgram({ name, folder = 'cli/dist/native' }: Target): string {
  return path.join(ROOT, folder, name, name.startsWith('win32') ? 'kubectl-curfew.exe' : 'kubectl-curfew');
}

/** Those that run on this machine. */
export const OURS: readonly Target[] = TARGETS.filter(
  ({ name, tested }) => tested && name.startsWith(`${process.platform}-${process.arch}`),
);

/**
 * Builds what is older than its sources. Safe when several processes do so at once.
 *
 * @throws Error that says what is missing, or what the compiler says
 */
export async function buildNative(targets: readonly Target[] = OURS, log: Log = toStderr): Promise<void> {
  const script = await bundle();
  const digest = await digestOf(script);
  const stamp = (target: Target) => `${nativeProgram(target)}.stamp`;
  const isBuilt = async (target: Target) =>
    existsSync(nativeProgram(target)) && (await readFile(stamp(target), 'utf8').catch(() => '')) === digest;
  const missing = async () => {
    const built = await Promise.all(targets.map(isBuilt));
    return targets.filter((_, i) => !built[i]);
  };
  if ((await missing()).length === 0) return;
  const tools = await ensureTools(log);
  const licences = printParts('the native program', nativePartsWithTexts(tools));
  await withLock(
    path.join(tools.folder, 'build.lock'),
    () => log('another process is building it: waiting'),
    async () => {
      const folder = await mkdtemp(path.join(tmpdir(), 'curfew-native-'));
      try {
        for (const target of await missing()) {
          await buildOne(tools, folder, script, target, log);
          await writeFile(
            path.join(path.dirname(path.dirname(nativeProgram(target))), 'THIRD_PARTY_LICENSES'),
            licences,
          );
          await writeFile(stamp(target), digest);
        }
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['cli/native/main.ts'],
    ...{ bundle: true, write: false, minify: true, format: 'iife', platform: 'neutral', target: 'es2023' },
    logLevel: 'error',
  });
  const [file] = outputFiles;
  if (!file) throw new Error('esbuild made nothing of cli/native/main.ts');
  return file.text;
}

/** All that decides what comes out. */
async function digestOf(script: string): Promise<string> {
  const hash = createHash('sha256').update(script);
  const files = [import.meta.filename, path.join(import.meta.dirname, 'requirements.txt')];
  for (const name of ['native_parts', 'third_party'])
    files.push(path.resolve(import.meta.dirname, `../supply/${name}.ts`));
  for await (const file of glob('*.{c,h}', { cwd: SOURCES })) files.push(path.join(SOURCES, file));
  files.push(path.join(import.meta.dirname, 'targets.ts'));
  for (const file of files.sort()) hash.update(await readFile(file));
  return hash.digest('hex');
}

async function buildOne(tools: Tools, folder: string, script: string, target: Target, log: Log): Promise<void> {
  const header = path.join(folder, 'program.h');
  if (!existsSync(header)) await writeBytecode(tools, folder, script, header, log);
  const windows = target.name.startsWith('win32');
  const out = path.join(folder, target.name);
  await compile(tools, target.triple, [
    ...[...OPTIMIZE, '-Wall', '-Wextra', '-Werror', '-s', `-I${tools.quickjs}`, `-I${folder}`, `-I${SOURCES}`],
    ...(target.name.startsWith('linux') ? ['-Wl,--gc-sections'] : []),
    ...['-o', out, path.join(SOURCES, 'shell.c'), path.join(SOURCES, windows ? 'host_windows.c' : 'host_posix.c')],
    ...(await engine(tools, target.triple, log)),
    ...(windows ? ['-lshell32'] : ['-lm', '-lpthread']),
  ]);
  const program = nativeProgram(target);
  await mkdir(path.dirname(program), { recursive: true });
  await copyFile(out, `${program}.new`);
  await rename(`${program}.new`, program);
}

async function writeBytecode(tools: Tools, folder: string, script: string, header: string, log: Log): Promise<void> {
  const [compiler, source] = [path.join(folder, 'compile'), path.join(folder, 'program.js')];
  await writeFile(source, script);
  const triple = hostTriple();
  const objects = await engine(tools, triple, log);
  const flags = ['-O2', `-I${tools.quickjs}`, '-o', compiler, path.join(import.meta.dirname, 'compile.c')];
  await compile(tools, triple, [...flags, ...objects, '-lm', '-lpthread']);
  const { code, stderr } = await run(compiler, [source, header]);
  if (code !== 0) throw new Error(stderr);
}

/** The engine's objects for a target: they do not depend on the checkout, and are kept. */
async function engine(tools: Tools, triple: string, log: Log): Promise<string[]> {
  const flags = createHash('sha256').update(OPTIMIZE.join(' ')).digest('hex').slice(0, 8);
  const folder = path.join(tools.folder, `engine-${triple}-${flags}`);
  await mkdir(folder, { recursive: true });
  const objects = ENGINE.map((name) => ({
    source: path.join(tools.quickjs, `${name}.c`),
    object: path.join(folder, `${name}.o`),
  }));
  const missing = objects.filter(({ object }) => !existsSync(object));
  if (missing.length > 0)
    log(`building the native program's engine for ${triple}, once: a minute, or several on a busy machine`);
  await Promise.all(
    missing.map(async ({ source, object }) => {
      await compile(tools, triple, [...OPTIMIZE, '-w', '-c', '-o', `${object}.new`, source]);
      await rename(`${object}.new`, object);
    }),
  );
  return objects.map(({ object }) => object);
}

async function compile({ zig, folder }: Tools, triple: string, args: readonly string[]): Promise<void> {
  const cache = path.join(folder, 'zig-cache');
  const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
  const { code, stderr } = await run(zig, ['cc', '-target', triple, ...args], { env, timeout: 900_000 });
  if (code !== 0) throw new Error(`the C compiler, for ${triple}: ${stderr.slice(-2_000)}`);
}

/**
 * Builds the program that runs a script from stdin on the same engine (evaluate.c).
 *
 * @returns its path, in `folder`
 */
export async function buildEvaluator(folder: string, log: Log = toStderr): Promise<string> {
  const tools = await ensureTools(log);
  const out = path.join(folder, 'evaluate');
  const flags = ['-O2', `-I${tools.quickjs}`, '-o', out, path.join(import.meta.dirname, 'evaluate.c')];
  const objects = await engine(tools, hostTriple(), log);
  await compile(tools, hostTriple(), [...flags, ...objects, '-lm', '-lpthread']);
  return out;
}

/**
 * Builds the program, its engine with it, by another compiler: with checks of every access to memory and of what C leaves undefined.
 *
 * @param compiler with libraries for these checks, which the one of `npm run native` does not have
 * @returns its path, in `folder`
 */
export async function buildChecked(folder: string, compiler: string, log: Log = toStderr): Promise<string> {
  const tools = await ensureTools(log);
  const out = path.join(folder, 'kubectl-curfew');
  await writeBytecode(tools, folder, await bundle(), path.join(folder, 'program.h'), log);
  const sources = [...['shell.c', 'host_posix.c'].map((name) => path.join(SOURCES, name))];
  const engineSources = ENGINE.map((name) => path.join(tools.quickjs, `${name}.c`));
  const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'];
  const flags = ['-O1', '-g', '-w', '-D_GNU_SOURCE', ...checks, `-I${tools.quickjs}`, `-I${folder}`, `-I${SOURCES}`];
  const { code, stderr } = await run(
    compiler,
    [...flags, '-o', out, ...sources, ...engineSources, '-lm', '-lpthread'],
    {
      timeout: 900_000,
    },
  );
  if (code !== 0) throw new Error(`${compiler}: ${stderr.slice(-2_000)}`);
  return out;
}

/** Builds peak.c. @returns its path, in `folder` */
export async function buildPeak(folder: string, log: Log = toStderr): Promise<string> {
  const out = path.join(folder, 'peak');
  await compile(await ensureTools(log), hostTriple(), ['-O2', '-o', out, path.join(import.meta.dirname, 'peak.c')]);
  return out;
}

/** Builds a library that is loaded before all others into programs of this machine. @returns its path, in `folder` */
export async function buildPreload(source: string, folder: string, log: Log = toStderr): Promise<string> {
  const out = path.join(folder, `${path.basename(source, '.c')}.so`);
  const triple = hostTriple().replace('musl', 'gnu.2.31');
  await compile(await ensureTools(log), triple, ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-o', out, source]);
  return out;
}

if (import.meta.main) {
  await buildNative(TARGETS);
  for (const target of TARGETS) {
    console.log(
      `${path.relative(process.cwd(), nativeProgram(target))}${target.tested ? '' : ' (never run by our tests)'}`,
    );
  }
}

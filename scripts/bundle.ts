// Bundles what is published and what every test and the demo run: the plugin's files side by side, and one for each server.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, glob, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { BESIDE, packagesAt, placesIn } from './supply/contents.ts';
import { readLock } from './supply/lock_file.ts';
import { thirdPartyLicenses } from './supply/third_party.ts';

const ROOT = path.dirname(import.meta.dirname);

export interface Bundles {
  /** Absolute path of the plugin, to be run by Node. */
  readonly cli: string;
  readonly broker: string;
  readonly gateway: string;
}

interface Bundle {
  readonly entry: string;
  readonly out: string;
  readonly executable: boolean;
}

const PLUGIN: readonly Bundle[] = [
  // What the first one loads on demand stands before it.
  { entry: 'cli/main.ts', out: 'cli/dist/full.cjs', executable: false },
  { entry: 'cli/secrets/keychain_child.ts', out: 'cli/dist/keychain.cjs', executable: false },
  { entry: 'cli/targets/web_socket.ts', out: 'cli/dist/websocket.cjs', executable: false },
  { entry: 'cli/kubectl_curfew.ts', out: 'cli/dist/kubectl-curfew.cjs', executable: true },
];
const BROKER: readonly Bundle[] = [{ entry: 'broker/main.ts', out: 'broker/dist/curfew-broker.cjs', executable: true }];
const GATEWAY: readonly Bundle[] = [
  { entry: 'gateway/main.ts', out: 'gateway/dist/curfew-gateway.cjs', executable: true },
];

/** Builds what is older than its sources. Safe when several processes do so at once: each file is replaced as a whole. */
export async function buildBundles(): Promise<Bundles> {
  await Promise.all([buildOne('cli', PLUGIN), buildOne('broker', BROKER), buildOne('gateway', GATEWAY)]);
  return {
    cli: path.join(ROOT, 'cli/dist/kubectl-curfew.cjs'),
    broker: path.join(ROOT, 'broker/dist/curfew-broker.cjs'),
    gateway: path.join(ROOT, 'gateway/dist/curfew-gateway.cjs'),
  };
}

async function buildOne(workspace: string, bundles: readonly Bundle[]): Promise<void> {
  const present = bundles.filter(({ entry }) => existsSync(path.join(ROOT, entry)));
  if (present.length === 0) return;
  const stamp = path.join(ROOT, workspace, 'dist', '.stamp');
  const inputs = await stateOfInputs(workspace);
  const built = present.every(({ out }) => existsSync(path.join(ROOT, out)));
  if (built && (await readFile(stamp, 'utf8').catch(() => '')) === inputs) return;
  await mkdir(path.dirname(stamp), { recursive: true });
  const places = [...(BESIDE[workspace] ?? [])];
  for (const bundle of present) places.push(...(await writeBundle(bundle)));
  await writeContents(workspace, places);
  if (workspace === 'cli') {
    await copyKeychainLibraries();
    // Made of the same sources, and older than them now: whoever wants them builds them (scripts/native/build.ts).
    await rm(path.join(ROOT, 'cli/dist/native'), { recursive: true, force: true });
  }
  await replace(stamp, inputs, 0o644);
}

/** Name, size and time of every source that a bundle can hold. */
async function stateOfInputs(workspace: string): Promise<string> {
  const files = [path.join(ROOT, 'package-lock.json'), import.meta.filename];
  for (const folder of [workspace, 'serving', 'shared', 'scripts/supply']) {
    for await (const file of glob('**/*.{ts,json,sql}', {
      cwd: path.join(ROOT, folder),
      exclude: ['node_modules', 'dist'],
    })) {
      files.push(path.join(ROOT, folder, file));
    }
  }
  const states = files.sort().map(async (file) => {
    const { size, mtimeMs } = await stat(file);
    return `${path.relative(ROOT, file)} ${size} ${mtimeMs}\n`;
  });
  return (await Promise.all(states)).join('');
}

/** @returns the places of packages that it holds */
async function writeBundle(bundle: Bundle): Promise<string[]> {
  const { outputFiles, metafile } = await build({ ...optionsOf(bundle), metafile: true });
  const [file] = outputFiles;
  if (!file) throw new Error(`esbuild made nothing of ${bundle.entry}`);
  await replace(path.join(ROOT, bundle.out), file.text, bundle.executable ? 0o755 : 0o644);
  return placesIn(metafile);
}

/** What goes with the bundles: the licences of what they hold; and a list of it for the bill of materials, which is not published. */
async function writeContents(workspace: string, places: readonly string[]): Promise<void> {
  const dist = path.join(ROOT, workspace, 'dist');
  const held = packagesAt(readLock(await readFile(path.join(ROOT, 'package-lock.json'), 'utf8')), places);
  const { name } = JSON.parse(await readFile(path.join(ROOT, workspace, 'package.json'), 'utf8')) as { name: string };
  await replace(path.join(dist, 'THIRD_PARTY_LICENSES'), thirdPartyLicenses(ROOT, name, held), 0o644);
  await replace(path.join(dist, '.contents.json'), JSON.stringify(held.map(({ place }) => place)), 0o644);
}

function optionsOf({ entry, out, executable }: Bundle) {
  return {
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile: out,
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    external: [],
    // Without ESM's loader: `import()` of a bundled part is then a call, of another bundle a `require`.
    supported: { 'dynamic-import': false },
    define: {
      ...{ 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
      // What ws would look for beside the bundle, and does without.
      ...{ 'process.env.WS_NO_BUFFER_UTIL': '"1"', 'process.env.WS_NO_UTF_8_VALIDATE': '"1"' },
    },
    banner: executable ? { js: '#!/usr/bin/env node' } : {},
    plugins: [stays(entry === 'cli/kubectl_curfew.ts' ? [FULL_PROGRAM] : [WEB_SOCKETS])],
    logLevel: 'error',
  } as const satisfies BuildOptions;
}

/** The broker's, with sources that are not as they are in the checkout. @param plugins read them @param out an absolute path */
export async function bundleBroker(plugins: Plugin[], out: string): Promise<void> {
  for (const bundle of BROKER) await build({ ...optionsOf(bundle), plugins, outfile: out, write: true });
}

/** keytar's binaries, where its code looks for them: what is published needs no package, and no install script. */
async function copyKeychainLibraries(): Promise<void> {
  const prebuilds = path.join(ROOT, 'node_modules/keytar/prebuilds');
  for await (const file of glob('*/keytar.node', { cwd: prebuilds })) {
    const target = path.join(ROOT, 'cli/dist/prebuilds', file);
    await mkdir(path.dirname(target), { recursive: true });
    await replace(target, await readFile(path.join(prebuilds, file)), 0o644);
  }
}

interface Outside {
  readonly filter: RegExp;
  readonly path: string;
}

/** The warm path must not even parse the full program: it is another bundle, loaded when it is needed. */
const FULL_PROGRAM: Outside = { filter: /^\.\/main\.ts$/, path: './full.cjs' };
/** Nor does a call of kubectl parse what only connections to targets need. */
const WEB_SOCKETS: Outside = { filter: /^\.\/web_socket\.ts$/, path: './websocket.cjs' };

function stays(outside: readonly Outside[]): Plugin {
  return {
    name: 'stays-outside',
    setup({ onResolve }) {
      for (const { filter, path: bundled } of outside) onResolve({ filter }, () => ({ path: bundled, external: true }));
    },
  };
}

async function replace(file: string, content: string | Uint8Array, mode: number): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, content, { mode });
    await chmod(temporary, mode);
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

if (import.meta.main) {
  const { cli, broker, gateway } = await buildBundles();
  for (const file of [cli, broker, gateway]) if (existsSync(file)) console.log(path.relative(process.cwd(), file));
}

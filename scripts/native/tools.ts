// Compiler and engine for the native program: fetched once by pip, by their hashes, into the cache outside the checkout.

import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { fetchOnce } from '../fetch_once.ts';
import { run } from '../run.ts';

export interface Tools {
  /** The compiler's program. */
  readonly zig: string;
  /** The folder of the engine's C source. */
  readonly quickjs: string;
  /** Where objects that do not depend on the checkout may be kept. */
  readonly folder: string;
}

const REQUIREMENTS = path.join(import.meta.dirname, 'requirements.txt');

/** @throws Error that says what is missing */
export async function ensureTools(log: (line: string) => void): Promise<Tools> {
  const pins = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex')
    .slice(0, 12);
  const folder = await fetchOnce(
    {
      name: `native-tools-${process.platform}-${process.arch}-${pins}`,
      what: 'the C compiler',
      says: 'fetching the C compiler and the engine for the native program, once: a minute, or several on a busy machine',
      fill: fetchInto,
    },
    log,
  );
  const [source] = (await readdir(folder)).filter((name) => name.startsWith('edwh_quickjs_ng-'));
  if (source === undefined) throw new Error(`${folder} is not whole: remove it`);
  return { folder, zig: path.join(folder, 'ziglang/zig'), quickjs: path.join(folder, source, 'upstream-quickjs') };
}

async function fetchInto(folder: string): Promise<void> {
  const packages = path.join(folder, 'packages');
  const only = ['--only-binary', 'ziglang', '--no-binary', 'edwh-quickjs-ng'];
  await python(['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', ...only], {
    more: ['--require-hashes', '-r', REQUIREMENTS, '--dest', packages],
  });
  for (const name of await readdir(packages)) {
    const unpack = name.endsWith('.whl') ? 'zipfile' : 'tarfile';
    await python(['-m', unpack, '-e', path.join(packages, name), folder]);
  }
  await rm(packages, { recursive: true });
  const made = await run('chmod', ['755', path.join(folder, 'ziglang/zig')]);
  if (made.code !== 0) throw new Error(made.stderr);
}

async function python(args: readonly string[], { more = [] }: { more?: readonly string[] } = {}): Promise<void> {
  const stderr = await run('python3', [...args, ...more], { timeout: 900_000 }).then(
    (result) => (result.code === 0 ? undefined : result.stderr),
    String,
  );
  if (stderr === undefined) return;
  throw new Error(`the native program needs python3 with pip to be built (Debian: python3-pip): ${stderr.slice(-500)}`);
}

// Programs of Linux on arm64, run on this machine: qemu and the libraries that Node.js needs, from Debian's packages, unpacked alone.

import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { must } from '../../scripts/release/must.ts';

const LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1'] as const;

/** @param folder is made @returns the words before a program's own */
export async function arm64(folder: string): Promise<readonly [string, ...string[]]> {
  const [emulator, root] = [path.join(folder, 'emulator'), path.join(folder, 'root')];
  for (const made of [emulator, root]) await mkdir(made, { recursive: true });
  await unpack(['qemu-user-static'], [], path.join(folder, 'own'), emulator);
  // Lists of its own: the machine's packages stay of its one architecture.
  const apart = path.join(folder, 'apt');
  for (const made of ['lists/partial', 'cache/archives/partial'])
    await mkdir(path.join(apart, made), { recursive: true });
  await writeFile(path.join(apart, 'status'), '');
  const settings = {
    'APT::Architecture': 'arm64',
    'APT::Architectures': 'arm64',
    'APT::Sandbox::User': 'root',
    'Dir::State::lists': path.join(apart, 'lists'),
    'Dir::State::status': path.join(apart, 'status'),
    'Dir::Cache': path.join(apart, 'cache'),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  await must('apt-get', [...options, 'update', '-qq']);
  await unpack(LIBRARIES, options, path.join(folder, 'libraries'), root);
  return [path.join(emulator, 'usr/bin/qemu-aarch64-static'), '-L', root];
}

async function unpack(names: readonly string[], options: readonly string[], packages: string, to: string) {
  await mkdir(packages);
  await must('apt-get', [...options, 'download', '-qq', ...names], { cwd: packages });
  const files = await readdir(packages);
  if (files.length !== names.length) throw new Error(`${names.join(' ')}: apt-get brought ${files.join(' ')}`);
  for (const file of files) await must('dpkg-deb', ['--extract', path.join(packages, file), to]);
}

/** A program that can be started as if it were of this machine. @param words of the emulator, and the program's */
export async function wrapped(file: string, words: readonly string[]): Promise<string> {
  const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  await writeFile(file, `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
  return file;
}

// Debian packages: the tree of one program below /usr/lib, its unit, its manual page. Nothing in them is written over that a person may
// have changed, and nothing is run at install but what makes the service's user and tells systemd.

import { copyFile, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { control, copyright, scriptsOf } from './debian_control.ts';
import { must } from './must.ts';
import type { NodeRuntime } from './node_runtime.ts';
import type { System } from './systems.ts';
import { type ProgramName, writeTree } from './tree.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

export interface DebianPackage {
  readonly name: ProgramName;
  readonly system: System;
  readonly version: string;
  readonly epochSeconds: number;
  /** Its manual page, and the section that it is for. */
  readonly manual: string;
  readonly section: 1 | 8;
  readonly node: NodeRuntime;
}

/** @param work a folder for what is packed @param out where the package goes @returns its name */
export async function writeDebianPackage(one: DebianPackage, work: string, out: string): Promise<string> {
  const { name, system, version, epochSeconds, node } = one;
  const root = path.join(work, `${name}-${system.debian}`);
  await writeTree(path.join(root, 'usr/lib', name), system, node, [name]);
  await moveTexts(root, name);
  await writeDocuments(root, one);
  const service = await writeService(root, name);
  await mkdir(path.join(root, 'usr/bin'), { recursive: true });
  await symlink(`../lib/${name}/bin/${name}`, path.join(root, 'usr/bin', name));
  await writeControl(root, one, service);
  await must('chmod', ['-R', 'u=rwX,go=rX', root]);
  await oneTime(root, epochSeconds);
  const file = `${name}_${version}-1_${system.debian}.deb`;
  const plain = ['--root-owner-group', '-Zzstd', '-z10', '--threads-max=1'];
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(epochSeconds) };
  await must('dpkg-deb', [...plain, '--build', root, path.join(out, file)], { env });
  await rm(root, { recursive: true });
  return file;
}

/** Debian has its own place for the texts of licences. */
async function moveTexts(root: string, name: ProgramName): Promise<void> {
  const [from, to] = [path.join(root, 'usr/lib', name), path.join(root, 'usr/share/doc', name)];
  await mkdir(to, { recursive: true });
  for (const file of (await readdir(from)).filter((one) => !['bin', 'lib'].includes(one))) {
    if (file !== 'LICENSE') await copyFile(path.join(from, file), path.join(to, file));
    await rm(path.join(from, file));
  }
}

async function writeDocuments(root: string, { name, version, epochSeconds, manual, section }: DebianPackage) {
  const documents = path.join(root, 'usr/share/doc', name);
  await writeFile(path.join(documents, 'copyright'), copyright());
  const date = new Date(epochSeconds * 1000).toUTCString().replace('GMT', '+0000');
  const entry = `${name} (${version}-1) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- Curfew <curfew@example.com>  ${date}\n`;
  await writeFile(path.join(documents, 'changelog.Debian.gz'), gzipSync(entry, { level: 9 }));
  const pages = path.join(root, `usr/share/man/man${section}`);
  await mkdir(pages, { recursive: true });
  await writeFile(path.join(pages, `${name}.${section}.gz`), gzipSync(manual, { level: 9 }));
}

/** @returns whether the program is a service */
async function writeService(root: string, name: ProgramName): Promise<boolean> {
  if (name === 'kubectl-curfew') return false;
  const files = {
    [`usr/lib/systemd/system/${name}.service`]: await readFile(path.join(ROOT, 'deploy/systemd', `${name}.service`)),
    [`usr/lib/sysusers.d/${name}.conf`]: `u ${name} - "${name}" /var/lib/${name} /usr/sbin/nologin\n`,
    // Its secrets are there: the service reads them, and writes nothing.
    [`usr/lib/tmpfiles.d/${name}.conf`]: `d /etc/${name} 0750 root ${name} -\n`,
    [`etc/default/${name}`]: `# Where ${name}.service finds its configuration.\n#CONFIG=/etc/${name}/${name}.yaml\n`,
  };
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.join(root, path.dirname(file)), { recursive: true });
    await writeFile(path.join(root, file), content);
  }
  return true;
}

async function writeControl(root: string, one: DebianPackage, service: boolean): Promise<void> {
  const folder = path.join(root, 'DEBIAN');
  await mkdir(folder);
  const kilobytes = Math.ceil((await sizeOf(root)) / 1024);
  await writeFile(path.join(folder, 'control'), control(one.name, one.version, one.system.debian, kilobytes));
  const files = (await filesBelow(root)).filter((file) => !file.startsWith('DEBIAN/'));
  const sums = await must('md5sum', ['--', ...files], { cwd: root });
  await writeFile(path.join(folder, 'md5sums'), sums);
  if (!service) return;
  await writeFile(path.join(folder, 'conffiles'), `/etc/default/${one.name}\n`);
  for (const [script, text] of Object.entries(scriptsOf(one.name)))
    await writeFile(path.join(folder, script), text, { mode: 0o755 });
}

/** Regular files, from the root, sorted. */
async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => path.relative(root, path.join(entry.parentPath, entry.name))).sort();
}

/** Of all files: what a folder takes is the file system's. */
async function sizeOf(root: string): Promise<number> {
  const sizes = (await filesBelow(root)).map(async (file) => (await stat(path.join(root, file))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Of all that is in it: SOURCE_DATE_EPOCH only makes what is younger older. */
async function oneTime(root: string, epochSeconds: number): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isSymbolicLink()) await utimes(path.join(entry.parentPath, entry.name), epochSeconds, epochSeconds);
  }
  await utimes(root, epochSeconds, epochSeconds);
}

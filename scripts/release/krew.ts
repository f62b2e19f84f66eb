// The manifest that krew installs the plugin by: that of deploy/krew, with what only the release knows.

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { digestOf } from './sums.ts';
import { SYSTEMS } from './systems.ts';

const TEMPLATE = path.resolve(import.meta.dirname, '../../deploy/krew/curfew.yaml');

/** @param out the folder with the archives, where it goes too @param from the folder that they will be fetched from */
export async function writeKrewManifest(out: string, version: string, from: string): Promise<void> {
  const known = new Map([
    ['VERSION', version],
    ['FROM', from],
  ]);
  for (const { name } of SYSTEMS) {
    known.set(`SHA256_${name}`, await digestOf(path.join(out, `curfew-${version}-${name}.tar.gz`)));
  }
  const template = await readFile(TEMPLATE, 'utf8');
  const text = template.replaceAll(/@([\w-]+)@/g, (_, name: string) => {
    const value = known.get(name);
    if (value === undefined) throw new Error(`deploy/krew/curfew.yaml: @${name}@ is not known`);
    return value;
  });
  // Its first line is for who reads the template.
  await writeFile(path.join(out, 'curfew.yaml'), text.slice(text.indexOf('apiVersion:')));
}

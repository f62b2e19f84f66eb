// Keeps the programs of a release as they were shipped, packed, so that later ones can be tried with them (test/releases). Run once, from
// the tree of the release: node scripts/keep_release.ts FOLDER-OF-ITS-TREE.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const PROGRAMS = [
  ['kubectl-curfew', 'cli/dist', ['kubectl-curfew.cjs', 'full.cjs', 'keychain.cjs', 'websocket.cjs']],
  ['curfew-broker', 'broker/dist', ['curfew-broker.cjs']],
] as const;

const [, , tree = '.'] = process.argv;
const { version } = JSON.parse(readFileSync(path.join(tree, 'package.json'), 'utf8')) as { version: string };
const folder = path.join(path.dirname(import.meta.dirname), 'test/releases');
for (const [name, dist, files] of PROGRAMS) {
  const from = path.join(tree, dist);
  const missing = files.filter((file) => !existsSync(path.join(from, file)));
  if (missing.length > 0) throw new Error(`${from} has no ${missing.join(', ')}: build it first`);
  const plain = [
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--format=ustar',
    '--mode=755',
  ];
  const tar = execFileSync('tar', ['-C', from, ...plain, '-cf', '-', ...files], { maxBuffer: 64 * 1024 * 1024 });
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
  const out = path.join(folder, `${name}-${version}.tar.br`);
  writeFileSync(out, brotliCompressSync(tar, { params }));
  console.log(out);
}

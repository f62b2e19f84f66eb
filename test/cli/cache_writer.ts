// Writes one cache entry over and over until it is killed: good ones, whose tokens end in one letter, many times.
// usage: cache_writer DIRECTORY

import { randomBytes } from 'node:crypto';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { openCache } from '../../cli/session/cache.ts';
import { seconds } from '../../shared/time.ts';
import { entryAt } from './entries.ts';

const [directory = ''] = process.argv.slice(2);
const host = {
  now: () => seconds(Math.floor(Date.now() / 1000)),
  random: randomBytes,
  env: { CURFEW_CACHE_DIR: `${directory}/cache` },
  uid: process.geteuid?.(),
  files: nodeFiles,
  say: (line: string) => console.error(line),
};
const cache = openCache(host);
const entry = entryAt(host.now());
for (let i = 0; ; i++) {
  const token = `${entry.token}${String.fromCharCode(97 + (i % 26)).repeat(20_000)}`;
  cache.write({ ...entry, token });
  if (i === 0) process.stdout.write('writing\n');
}

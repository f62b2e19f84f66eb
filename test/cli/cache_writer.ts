// Writes one cache entry over and over until it is killed.
// usage: cache_writer DIRECTORY

import { randomBytes } from 'node:crypto';
import { openCache } from '../../cli/cache/cache.ts';
import type { Host } from '../../cli/host.ts';
import { nodeFiles } from '../../cli/node_files.ts';
import { seconds } from '../../shared/time.ts';
import { NO_TERMINAL } from './host.ts';

const [directory = ''] = process.argv.slice(2);
const host: Host = {
  now: () => seconds(Math.floor(Date.now() / 1000)),
  random: randomBytes,
  env: { CURFEW_CACHE_DIR: `${directory}/cache` },
  uid: process.getuid?.(),
  files: nodeFiles,
  parent: process.ppid,
  interactive: false,
  platform: process.platform,
  arch: process.arch,
  node: process.execPath,
  bundles: '',
  print: () => undefined,
  say: (line) => console.error(line),
  ...NO_TERMINAL,
};
const cache = openCache(host);
const limits = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(300) };
const session = {
  ...{ sid: 'sid', username: 'alice', groups: [], limits: { session: limits, target: limits } },
  ...{ auth_time: seconds(1), session_end: seconds(901), end_at_most: seconds(901), broker_time: seconds(1) },
};
const key = { broker: 'https://broker.example.com', cluster: 'dev' };
for (let i = 0; ; i++) {
  const token = String.fromCharCode(97 + (i % 26)).repeat(20_000);
  cache.write({ ...key, minted_local: seconds(i), session, token, expires_in: seconds(300) });
  if (i === 0) process.stdout.write('writing\n');
}

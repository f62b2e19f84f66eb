// `npm run test:long [-- NAME...]`: the long forms of tests, one after the other: `test/long/NAME.long.ts`.

import { globSync } from 'node:fs';
import path from 'node:path';
import { ROOT, runGroups } from './runner.ts';

const SUFFIX = '.long.ts';
const all = globSync(`test/long/*${SUFFIX}`, { cwd: ROOT }).toSorted();
const names = all.map((file) => path.basename(file, SUFFIX));
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`test:long: error: there is no ${unknown.join(', ')}\n`);
  process.stderr.write(`test:long: hint: choose from: ${names.join(' ')}\n`);
  process.exitCode = 64;
} else {
  const files = all.filter((file) => chosen.length === 0 || chosen.includes(path.basename(file, SUFFIX)));
  await runGroups([{ files, concurrency: 1, timeout: 3_600_000 }]);
}

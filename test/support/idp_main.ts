// The test IdP as a process of its own: `node idp_main.ts OPTIONS.json`; says `{issuer, pid}` when ready, and ends with
// SIGTERM or with whoever holds its stdin.
import { readFile } from 'node:fs/promises';
import { type IdpOptions, startIdp } from './idp.ts';

const [file] = process.argv.slice(2);
if (file === undefined) throw new TypeError('usage: idp_main.ts OPTIONS.json');
const idp = await startIdp(JSON.parse(await readFile(file, 'utf8')) as IdpOptions);

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  await idp.stop();
  process.exit(0);
}
process.on('SIGTERM', end);
// Ctrl-C reaches the whole foreground group; the parent ends us in its own order
process.on('SIGINT', () => undefined);
process.stdin.on('end', end).on('error', end).resume();
console.log(JSON.stringify({ issuer: idp.issuer, pid: process.pid }));

// The program that kubectl runs. A cached token that is still good is printed from here, with node:fs and nothing else
// loaded; every other case is the full program's. Writes nothing but stdout.

import { writeSync } from 'node:fs';
import { fromMilliseconds } from '../shared/time.ts';
import { parseGetToken } from './arguments.ts';
import { readEntry } from './cache/read.ts';
import { parseExecInfo, printCredential } from './exec_info.ts';
import { judge } from './judge.ts';
import { cacheDirectory } from './paths.ts';

/** The ExecCredential of a cache hit. Anything unusual is no hit. */
function warm(): string | undefined {
  const { env } = process;
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0') return undefined;
  const parsed = parseGetToken(process.argv.slice(2));
  const uid = process.getuid?.();
  const directory = parsed && cacheDirectory(env, uid);
  if (!parsed || !directory) return undefined;
  try {
    const info = parseExecInfo(env.KUBERNETES_EXEC_INFO);
    const { entry } = readEntry(directory, parsed.key, uid);
    const judgement = entry && judge(entry, fromMilliseconds(Date.now()));
    if (judgement?.act !== 'print') return undefined;
    return printCredential(info, judgement.token, judgement.expirationTimestamp);
  } catch {
    return undefined;
  }
}

/** All of it or an error: a pipe may take less than it is given, or be full for a moment. */
function print(text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
  }
}

const credential = warm();
if (credential !== undefined) print(credential);
else void import('./main.ts').then(({ main }) => main());

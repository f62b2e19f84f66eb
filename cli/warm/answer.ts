// What is answered without the full program: a cached token that is still good, a refusal that is known, the prompt segment.
// Reads files, writes none itself, loads nothing. The same in Node.js and in the small native program.

import { meaning } from '../../shared/errors.ts';
import { memberOf } from '../../shared/json.ts';
import type { Seconds } from '../../shared/time.ts';
import { parseGetToken } from './arguments.ts';
import type { Remembered } from './entry.ts';
import { parseExecInfo, printCredential } from './exec_info.ts';
import { judge } from './judge.ts';
import { isTaken, type Machine } from './machine.ts';
import { cacheDirectory } from './paths.ts';
import { sayPrompt } from './prompt.ts';
import { readEntry } from './read_cache.ts';
import { asError, printError } from './refusal.ts';
import { type Renewal, renewalDue } from './renewal_due.ts';
import { type Note, repeated } from './repeated.ts';
import { recordOf, refusedByRecord } from './session_record.ts';
import { type Config, isDefault, readOrThrow } from './settings.ts';
import { VERSION } from './version.ts';
import { warningDue } from './warning.ts';

export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number;
  /** From this instant of our clock on it must not be printed any more: whoever prints looks right before. */
  readonly until?: Seconds;
  /** Written once the rest is there, by whoever printed it. */
  readonly note?: Note;
  /** Begun once the rest is there, by whoever printed it: nobody waits for it. */
  readonly renewal?: Renewal;
}

/** @returns `undefined` for all that is the full program's: whatever is missing, unusual, or wants the network or a person */
export function answer(machine: Machine): Answer | undefined {
  try {
    const [command, ...rest] = machine.args;
    if (command === 'get-token') return getToken(machine);
    if (command === 'status' && rest.join() === '--prompt') return done(sayPrompt(machine));
    if (command === '--version' && rest.length === 0) return done(`kubectl-curfew ${VERSION} (${machine.runtime})\n`);
    return undefined;
  } catch {
    return undefined;
  }
}

function getToken(machine: Machine): Answer | undefined {
  const { args, env, now } = machine;
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0') return undefined;
  const parsed = parseGetToken(args);
  const directory = parsed && cacheDirectory(env, machine);
  if (!parsed || !directory) return undefined;
  const info = parseExecInfo(env.KUBERNETES_EXEC_INFO);
  const { terminal } = machine;
  const asks = info.interactive && !isTaken(terminal);
  const { entry, fault } = readEntry(machine, directory, parsed.key);
  const judgement = entry && judge(entry, now);
  if (entry && judgement?.act === 'print') {
    if (asks && terminal === 'lines' && warningDue(machine, directory, entry, now)) return undefined;
    const { token, expirationTimestamp, until } = judgement;
    const renewal = renewalDue(machine, directory, entry, now, args);
    return { ...done(printCredential(info, token, expirationTimestamp)), until, ...(renewal && { renewal }) };
  }
  if (fault !== undefined || asks) return undefined;
  const { broker: url, cluster } = parsed.key;
  const settings = readOrThrow(machine);
  const refused = judgement?.act === 'refuse' ? judgement.refused : knownRefusal(machine, settings, url);
  if (!refused) return undefined;
  const error = asError({ url, is_default: isDefault(env, settings, url) }, refused, cluster);
  const { exit } = meaning(error.code);
  const quiet: Answer = { stdout: '', stderr: '', exit };
  if (terminal === 'drawn_on') return quiet;
  const stderr = printError(error);
  const note = repeated(machine, directory, machine.caller(), args, stderr);
  if (note === 'again') return quiet;
  return { ...quiet, stderr, ...(note && { note }) };
}

/** Of a broker that nobody set up here the full program knows what to say: an administrator may have. */
function knownRefusal(machine: Machine, settings: Config, url: string): Remembered | undefined {
  const record = recordOf(machine, settings, url);
  return record || memberOf(settings.brokers, url) ? refusedByRecord(record) : undefined;
}

function done(stdout: string): Answer {
  return { stdout, stderr: '', exit: 0 };
}

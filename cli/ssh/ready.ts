// Makes ready what ssh needs for a target: the session's key, a certificate that is good for a while still, the pinned host key, and what
// ssh is told. Quick where all of it is there.

import { existsSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { between, isSeconds, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { writeWhole } from '../host/files.ts';
import { withLock } from '../host/lock.ts';
import type { Client } from '../session/client.ts';
import { readRecord } from '../session/record.ts';
import { RENEWING } from '../session/renew.ts';
import { askForPass, type Pass, passRefused } from '../targets/pass.ts';
import { type Asked, passOrLogin } from '../targets/pass_or_login.ts';
import type { Remembered } from '../warm/entry.ts';
import { oneLine } from '../warm/one_line.ts';
import { readOurs } from '../warm/read_cache.ts';
import { NOT_LOGGED_IN, refusedByRecord } from '../warm/session_record.ts';
import { isPlainName, makeSshFolder, type SshFiles, sshFiles, sweepKeys } from './files.ts';
import { sessionKey } from './key.ts';
import { asLines, hostKeyAlias, type SshOption, sshOptions } from './options.ts';

/** So long a certificate has to be good still: for what comes before ssh shows it. */
const LEAST = seconds(20);

const MAKING = {
  ...RENEWING,
  longest_ms: 20_000,
} as const;

export interface SshRequest {
  readonly target: string;
  readonly account?: string | undefined;
  /** Words of a command that connects stdin and stdout. */
  readonly proxy: readonly string[];
}

interface State {
  readonly sid: string;
  readonly login: string;
  /** By our clock. */
  readonly until: Seconds;
}

export interface Ready {
  readonly files: SshFiles;
  /** What ssh is to be told. */
  readonly options: readonly SshOption[];
}

/**
 * Changes nothing where a certificate is good still.
 *
 * @throws CurfewError; 77 where only a login helps and nobody can be asked
 */
export async function makeSshReady(client: Client, { proxy, ...request }: SshRequest, asked: Asked): Promise<Ready> {
  const { target, account } = request;
  const files = sshFiles(client.host, client.url, target, account);
  makeSshFolder(client.host, files);
  const tell = ({ sid, login }: State) => ({
    files,
    options: sshOptions(files, { key: files.key(sid), login, target, proxy }),
  });
  const found = () => goodState(client, files);
  const good = found();
  if (good) return tell(good);
  for (let tries = 0; ; tries++) {
    const made = await withLock(client.host, [client.url, 'ssh'], MAKING, () => certify(client, files, request), found);
    if ('login' in made) return tell(made);
    if (tries > 0) throw passRefused(client, made.refused);
    // Outside of the lock: a person may have to be asked.
    await passOrLogin(client, request, asked);
  }
}

/** @returns what is there already, and good still */
function goodState(client: Client, files: SshFiles): State | undefined {
  const { host, url } = client;
  const record = readRecord(host, url);
  const content = readOurs(host, files.state)?.content;
  const value = content === undefined ? undefined : parseJson(content);
  if (refusedByRecord(record) || !isObject(value)) return undefined;
  const { sid, login, until } = value;
  if (typeof sid !== 'string' || typeof login !== 'string' || !isSeconds(until)) return undefined;
  if (sid !== record?.session?.sid || over(until, plus(host.now(), LEAST))) return undefined;
  const there = [files.key(sid), `${files.key(sid)}.pub`, files.certificate, files.known_hosts];
  return there.every((file) => existsSync(file)) ? { sid, login, until } : undefined;
}

/** For a configuration that includes it. */
export function writeIncluded({ host }: Pick<Client, 'host'>, { files, options }: Ready): void {
  const text = `# Written by kubectl-curfew, for one session.\n${asLines(options)}`;
  if (readOurs(host, files.config)?.content !== text) writeWhole(files.config, text, host);
}

async function certify(
  client: Client,
  files: SshFiles,
  { target: name, account }: Pick<SshRequest, 'target' | 'account'>,
): Promise<State | { readonly refused: Remembered }> {
  const known = goodState(client, files);
  if (known) return known;
  const record = readRecord(client.host, client.url);
  const refused = refusedByRecord(record);
  const sid = record?.session?.sid;
  if (refused || sid === undefined) return { refused: refused ?? NOT_LOGGED_IN };
  // A login has taken away what was there.
  makeSshFolder(client.host, files);
  const ssh_public_key = await sessionKey(client.host, files.key(sid));
  sweepKeys(files, sid);
  const outcome = await askForPass(client, { target: name, account, ssh_public_key });
  return outcome.pass ? keep(client, files, outcome.pass) : { refused: outcome.refused };
}

/** @throws CurfewError where the target is none for ssh, or the broker says too little of it */
function keep({ host }: Pick<Client, 'host'>, files: SshFiles, pass: Pass): State {
  const { target, credential, session, asked_at } = pass;
  const name = oneLine(target.name);
  if (target.kind !== 'ssh') {
    const hint = `run: kubectl curfew connect ${name} -- COMMAND`;
    throw new CurfewError('usage', `${name} is of kind ${oneLine(target.kind)}, not ssh`, { hint });
  }
  const { host_key } = target;
  if (credential?.kind !== 'ssh' || !isOneLine(credential.certificate) || !isPlainName(credential.login))
    throw new CurfewError('unavailable', `the broker gave no certificate for ${name}`, {
      hint: 'ask who runs the broker',
    });
  if (host_key === undefined || !isOneLine(host_key))
    throw new CurfewError('unavailable', `the broker names no host key of ${name}`, {
      hint: 'ask who runs the broker',
    });
  writeWhole(files.certificate, `${credential.certificate}\n`, host);
  writeWhole(files.known_hosts, `${hostKeyAlias(target.name)} ${host_key}\n`, host);
  // By our clock, which may be another than the broker's.
  const until = plus(asked_at, between(session.broker_time, credential.valid_until));
  const state = { sid: session.sid, login: credential.login, until };
  writeWhole(files.state, JSON.stringify(state), host);
  return state;
}

function isOneLine(text: string): boolean {
  return /^[\x20-\x7e]+$/.test(text);
}

// The exec plugin, beyond the warm path: cache, renewal, login at the terminal, or a refusal.

import { CurfewError } from '../../shared/errors.ts';
import { over, plus } from '../../shared/time.ts';
import { makeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { type LauncherHost, refreshLauncher } from '../host/launcher.ts';
import { type Client, createClient } from '../session/client.ts';
import { renew } from '../session/renew.ts';
import type { GetTokenArguments } from '../warm/arguments.ts';
import type { Entry, Key } from '../warm/entry.ts';
import { type ExecInfo, parseExecInfo, printCredential } from '../warm/exec_info.ts';
import { expirationOf, judge } from '../warm/judge.ts';
import { isTaken } from '../warm/machine.ts';
import { asError } from '../warm/refusal.ts';
import { sayWarning, warningDue } from '../warm/warning.ts';

/** As often as it is stopped between its decision and its answer. */
const MOST_TRIES = 3;

/**
 * Answers kubectl: prints the ExecCredential.
 *
 * @throws CurfewError when there is no credential; stdout is empty then
 */
export async function getToken(host: Host, { key, ca_file }: GetTokenArguments): Promise<void> {
  const info = parseExecInfo(host.env.KUBERNETES_EXEC_INFO);
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const entry = await entryFor(host, createClient(host, key.broker, ca_file), key, info);
    if (printWhileGood(host, info, entry)) return;
  }
  throw new CurfewError(
    'busy',
    'each token was over before it could be printed: this program was stopped, or the clock set',
  );
}

async function entryFor(
  host: LauncherHost & Pick<Host, 'now' | 'terminal'>,
  client: Client,
  key: Key,
  info: ExecInfo,
): Promise<Entry> {
  const cached = client.cache.read(key);
  const judgement = cached && judge(cached, host.now());
  if (cached && judgement?.act === 'print') {
    warnOnce(client, info, cached);
    return cached;
  }
  const outcome = judgement?.act === 'refuse' ? { refused: judgement.refused } : await renew(client, key);
  if (outcome.entry) {
    refreshLauncher(host);
    warnOnce(client, info, outcome.entry);
    return outcome.entry;
  }
  if (!info.interactive || isTaken(host.terminal())) throw asError(client, outcome.refused, key.cluster);

  const { loginFor } = await import('../login/login_for.ts');
  return await loginFor(client, key);
}

/** Of many calls at once one says it. */
function warnOnce(
  client: Pick<Client, 'cache' | 'host' | 'is_default' | 'url'>,
  { interactive }: ExecInfo,
  entry: Entry,
): void {
  const { host, cache } = client;
  // A client that has no terminal of its own (an IDE, a script) has nobody who could act on it.
  if (!interactive || !host.interactive || cache.directory === undefined) return;
  const warning = warningDue(host, cache.directory, entry, host.now());
  if (warning && !isTaken(host.terminal()) && makeFile(warning.file)) host.say(sayWarning(warning, client));
}

/**
 * A fresh token is handed out even near the end of the session: it is good until then. Right before it is printed the clock is
 * read again, as any time may have passed since it was decided.
 *
 * @returns whether it was printed
 */
function printWhileGood(
  host: Pick<Host, 'now' | 'print'>,
  info: ExecInfo,
  { token = '', expires_in, minted_local }: Entry,
): boolean {
  if (token === '' || expires_in === undefined) throw new TypeError('an entry without token is not a credential');
  const now = host.now();
  if (over(plus(minted_local, expires_in), now)) return false;
  host.print(printCredential(info, token, expirationOf(minted_local, expires_in, now)));
  return true;
}

// The exec plugin, beyond the warm path: cache, renewal, login at the terminal, or a refusal.

import type { GetTokenArguments } from './arguments.ts';
import type { Entry } from './cache/entry.ts';
import { type Client, createClient } from './client.ts';
import { type ExecInfo, parseExecInfo, printCredential } from './exec_info.ts';
import { makeFile } from './files.ts';
import type { Host } from './host.ts';
import { expirationOf, judge } from './judge.ts';
import { refreshLauncher } from './launcher.ts';
import { asError } from './refusal.ts';
import { renew } from './renew.ts';
import { sayWarning, warningDue } from './warning.ts';

/**
 * Answers kubectl.
 *
 * @returns the ExecCredential, as text for stdout
 * @throws CurfewError when there is no credential; nothing must stand on stdout then
 */
export async function getToken(host: Host, { key, ca_file }: GetTokenArguments): Promise<string> {
  const info = parseExecInfo(host.env.KUBERNETES_EXEC_INFO);
  const client = createClient(host, key.broker, ca_file);

  const cached = client.cache.read(key);
  const judgement = cached && judge(cached, host.now());
  if (cached && judgement?.act === 'print') {
    warnOnce(client, info, cached);
    return credential(client, info, cached);
  }

  const outcome = judgement?.act === 'refuse' ? { refused: judgement.refused } : await renew(client, key);
  if (outcome.entry) {
    refreshLauncher(host);
    warnOnce(client, info, outcome.entry);
    return credential(client, info, outcome.entry);
  }
  if (!info.interactive) throw asError(client, outcome.refused, key.cluster);

  const { loginFor } = await import('./login/login_for.ts');
  return credential(client, info, await loginFor(client, key));
}

/** Of many calls at once one says it. */
function warnOnce(client: Client, { interactive }: ExecInfo, entry: Entry): void {
  const { host, cache } = client;
  // A client that has no terminal of its own (an IDE, a script) has nobody who could act on it.
  if (!interactive || !host.interactive || cache.directory === undefined) return;
  const warning = warningDue(host, cache.directory, entry, host.now());
  if (warning && makeFile(warning.file)) host.say(sayWarning(warning, client));
}

/** A fresh token is handed out even near the end of the session: it is good until then. */
function credential({ host }: Client, info: ExecInfo, { token = '', expires_in, minted_local }: Entry): string {
  if (token === '' || expires_in === undefined) throw new TypeError('an entry without token is no credential');
  return printCredential(info, token, expirationOf(minted_local, expires_in, host.now()));
}

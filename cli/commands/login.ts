// `login`: the person comes in person, whatever the IdP's SSO would do.

import { CurfewError } from '../../shared/errors.ts';
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { login } from '../login/login.ts';
import { withPersonsTurn } from '../login/turn.ts';
import { type Client, createClient } from '../session/client.ts';
import { renew } from '../session/renew.ts';
import { oneLine } from '../warm/one_line.ts';
import { asError } from '../warm/refusal.ts';
import type { Flow } from '../warm/settings.ts';

export interface LoginOptions {
  readonly broker?: string;
  readonly cluster?: string;
  readonly flow?: Flow;
  readonly browser: boolean;
  readonly caFile?: string;
}

export async function loginCommand(
  host: Host,
  { broker, cluster, flow, browser, caFile }: LoginOptions,
): Promise<void> {
  const client = createClient(host, chooseBroker(host, broker), caFile);
  const wish = { cluster, flow, strictest: true, in_person: true, no_browser: !browser };
  const { session, until, refused, entry } = await withPersonsTurn(client, (signal) => login(client, wish, signal));
  if (refused) throw asError(client, refused, cluster);
  host.print(`logged in as ${session.username} ${until}\n`);
  if (cluster !== undefined && !entry) await sayWhyNoToken(client, cluster);
}

/** The login is good, whatever keeps the cluster from giving a token for it. */
async function sayWhyNoToken(client: Client, cluster: string): Promise<void> {
  const missing = await renew(client, { broker: client.url, cluster }).then(
    ({ refused }) => refused?.message,
    (error: unknown) => {
      if (error instanceof CurfewError) return error.message;
      throw error;
    },
  );
  if (missing !== undefined) client.host.say(oneLine(`the login is good; ${cluster} gives no token yet: ${missing}`));
}

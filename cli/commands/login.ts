// `login`: the person comes in person, whatever the IdP's SSO would do.

import { asError, createClient } from '../client.ts';
import { chooseBroker } from '../config.ts';
import type { Host } from '../host.ts';
import { withLock } from '../lock.ts';
import { login } from '../login/login.ts';
import { LOGGING_IN } from '../login/login_for.ts';

export interface LoginOptions {
  readonly broker?: string;
  readonly cluster?: string;
  readonly browser: boolean;
  readonly caFile?: string;
}

export async function loginCommand(host: Host, { broker, cluster, browser, caFile }: LoginOptions): Promise<void> {
  const client = createClient(host, chooseBroker(host, broker), caFile);
  const wish = { cluster, strictest: true, in_person: true, no_browser: !browser };
  const { session, until, refused } = await withLock(host, [client.url, 'login'], LOGGING_IN, () =>
    login(client, wish),
  );
  if (refused) throw asError(client, refused, cluster);
  host.print(`logged in as ${session.username} ${until}\n`);
}

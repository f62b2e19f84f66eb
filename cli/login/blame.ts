// Why a login that a person made is refused, and who can do something about it: a hint never leads in a circle.

import type { MetadataCluster } from '../../shared/metadata.ts';
import type { WireSession } from '../../shared/wire.ts';
import type { Client } from '../session/client.ts';
import type { Remembered } from '../warm/entry.ts';
import { oneLine } from '../warm/one_line.ts';
import { AGE_REASONS, type Attempt } from './attempt.ts';

/** What no login changes while the identity provider is set as it is: the ID token is another one than the broker wants. */
const OF_PROVIDER: readonly string[] = [
  ...['id_token_invalid', 'id_token_issuer', 'id_token_audience', 'id_token_azp', 'id_token_nonce'],
];
const ASK = 'ask who runs curfew-broker and the identity provider';
/** A refusal after which the same login again would lead in a circle: they came, and the identity provider said otherwise. */
export function blame(
  refused: Remembered,
  { way, wish, acr_values }: Omit<Attempt, 'way'> & Partial<Pick<Attempt, 'way'>>,
): Remembered {
  const { reason, message } = refused;
  if (AGE_REASONS.includes(reason) && way?.can_ask_again === false) {
    const hint = 'at a terminal, run: kubectl curfew login --flow paste';
    return { ...refused, message: `${message}; a login by device code cannot ask for a new one`, hint };
  }
  if (AGE_REASONS.includes(reason) && wish.in_person) {
    const hint = 'log out at the identity provider, in the browser, and try again; or ask who runs it';
    return { ...refused, message: `${message}; the identity provider did not ask for a new login`, hint };
  }
  if (OF_PROVIDER.includes(reason)) return { ...refused, hint: ASK };
  if (reason !== 'acr_too_low' || acr_values === undefined) return refused;
  const hint = 'ask who runs the identity provider how a login reaches this level';
  return { ...refused, message: `${message}; the identity provider was asked for it and did not give it`, hint };
}

/** The login is good for the cluster, but not for all in it. */
export function sayWhatIsMissing(
  { host }: Pick<Client, 'host'>,
  { wish }: Attempt,
  cluster: MetadataCluster | undefined,
  session: WireSession,
) {
  const wanted = (wish.strictest && cluster?.strictest.acr) || [];
  if (!cluster || wanted.length === 0 || (session.acr !== undefined && wanted.includes(session.acr))) return;
  const acr = oneLine(wanted.join(' or '));
  host.say(`parts of ${cluster.name} require acr ${acr}; the identity provider was asked for it and did not give it`);
}

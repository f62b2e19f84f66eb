// What a session presents at an SSH server: a certificate for one account there, good from the gateway's addresses for as long as the token
// that it goes with. Allowed and recorded in the transaction, signed after its commit.

import { between, type Seconds, seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import type { SshTarget } from '../config/target_settings.ts';
import { encryptionOf } from '../encryption.ts';
import { requireCaKeys, signerFor, unsealCaKey } from '../ssh/ca_keys.ts';
import { keyIdOf, newSerial, principalOf, signUserCertificate } from '../ssh/certificate.ts';
import { placesOf } from '../ssh/places.ts';
import { parsePublicKey } from '../ssh/public_key.ts';
import type { Transaction } from '../store/store.ts';
import type { Access, MakeCredential } from './access.ts';

/** Clocks of hosts may be behind ours by this much. Those that are ahead lose it at the end: no certificate outlasts its token. */
const BEHIND = seconds(60);

/** @returns nothing where no key is there to be certified: then the token opens the way alone */
export async function allowCertificate(
  transaction: Transaction,
  config: Config,
  target: SshTarget,
  { session, account, ssh_public_key, exp, address }: Access,
  now: Seconds,
): Promise<MakeCredential | undefined> {
  if (ssh_public_key === undefined) return undefined;
  const subject = parsePublicKey(ssh_public_key);
  const { target_gateway: gateway } = config;
  if ('fault' in subject || account === undefined || !gateway)
    throw new TypeError('a certificate for nobody, or from nowhere');
  const { sid, iss, sub, username, jkt } = session;
  const encryption = encryptionOf(config);
  const ca = signerFor(await requireCaKeys(transaction, encryption, now), target.name, now);
  if (!ca) throw new TypeError('no key of the ssh-ca after making one');
  const certificate = {
    ...{
      serial: newSerial(),
      key_id: keyIdOf({ sid, username }),
      valid_after: between(BEHIND, now),
      valid_before: exp,
    },
    principals: [principalOf(target.name, account)],
    ...{ source_addresses: placesOf(gateway.source_addresses), permit: target.permit },
  } as const;
  const { serial, key_id, principals } = certificate;
  await transaction.audit({
    ...{
      event: 'credential',
      at: now,
      address,
      sid,
      iss,
      sub,
      username,
      jkt,
      target: target.name,
      kind: 'ssh',
      account,
    },
    ...{ serial: `${serial}`, key_id, principal: principals[0], ca: ca.kid, valid_until: exp },
  });
  return () => ({
    kind: 'ssh',
    certificate: signUserCertificate(unsealCaKey(ca, encryption), subject, certificate),
    ...{ login: account, valid_until: exp },
  });
}

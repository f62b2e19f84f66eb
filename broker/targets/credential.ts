// What is presented at a target itself, beyond its gateway. In the transaction that allows the token it is written down what is to be
// given; it is made after the commit. What must be made elsewhere first is decided on again after that (`roles`).

import type { Seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import type { Transaction } from '../store/store.ts';
import type { Access, MakeCredential } from './access.ts';
import { allowCertificate } from './ssh_certificate.ts';

/**
 * For kinds whose credential the broker makes by itself. Writes its row (`credential`).
 *
 * @returns nothing where there is no more than the way to the target
 */
export async function credentialFor(
  transaction: Transaction,
  config: Config,
  access: Access,
  now: Seconds,
): Promise<MakeCredential | undefined> {
  const { target } = access;
  switch (target.kind) {
    case 'ssh':
      return allowCertificate(transaction, config, target, access, now);
    case 'postgres':
    case 'tcp':
      return undefined;
  }
}

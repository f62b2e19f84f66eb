// Chooses where secrets are kept: the OS keychain, else a file, and says so once.

import { existsSync } from 'node:fs';
import type { Host } from '../host.ts';
import { createSecretFile, secretFile } from './file.ts';
import { createKeychain, hasKeychain } from './keychain.ts';
import { type Secret, SecretFault, type SecretStore } from './secret.ts';

export type Place = 'keychain' | 'file';

export interface Secrets {
  /**
   * @param place where the record says that they are
   * @returns why there are none, as a sentence, or the secret
   */
  load(broker: string, place: Place): Promise<Secret | string>;
  /**
   * Saves in the best place there is. Never fails: a login that succeeded goes on.
   *
   * @param before where they were kept until now
   * @returns where they are now; `undefined` when they could not be kept
   */
  save(broker: string, secret: Secret, before: Place | undefined): Promise<Place | undefined>;
  erase(broker: string, place: Place): Promise<void>;
}

export function createSecrets(host: Host): Secrets {
  const places: Readonly<Record<Place, SecretStore>> = { keychain: createKeychain(host), file: createSecretFile(host) };

  /** Once it failed it is not asked again by this process: a hanging one costs its deadline once. */
  let fault = hasKeychain(host, existsSync) ? undefined : 'there is no keychain';

  return {
    async load(broker, place) {
      try {
        const secret = await places[place].load(broker);
        if (secret) return secret;
        // A locked keyring answers as if it had nothing.
        return place === 'keychain' ? 'the keychain is locked, or lost the login' : 'the file with the login is gone';
      } catch (error) {
        if (!(error instanceof SecretFault)) throw error;
        if (place === 'keychain') fault = error.message;
        return error.message;
      }
    },
    async save(broker, secret, before) {
      const kept = fault ?? (await attempt(places.keychain, broker, secret));
      if (kept === true) {
        if (before === 'file') await quietly(places.file.erase(broker));
        return 'keychain';
      }
      const filed = await attempt(places.file, broker, secret);
      if (filed !== true) {
        host.say(`the login cannot be kept: ${kept}, and ${filed}`);
        return undefined;
      }
      if (before !== 'file')
        host.say(`${kept}: the login is kept in ${secretFile(host, broker)}, readable by you alone`);
      return 'file';
    },
    async erase(broker, place) {
      await quietly(places[place].erase(broker));
    },
  };
}

async function attempt(store: SecretStore, broker: string, secret: Secret): Promise<true | string> {
  try {
    await store.save(broker, secret);
    return true;
  } catch (error) {
    if (error instanceof SecretFault) return error.message;
    throw error;
  }
}

async function quietly(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof SecretFault)) throw error;
  }
}

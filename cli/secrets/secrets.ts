// Chooses where secrets are kept: as `secret_storage` says, or the OS keychain, else a file; and says so once.

import { existsSync } from 'node:fs';
import type { Host } from '../host/host.ts';
import { configDirectory } from '../warm/folders.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { runtimeDirectory } from '../warm/paths.ts';
import type { Place } from '../warm/session_record.ts';
import type { SecretStorage } from '../warm/settings.ts';
import { createSecretFile, secretFile } from './file.ts';
import { createKeychain, hasKeychain } from './keychain.ts';
import { rememberedFault, rememberProbe } from './probe.ts';
import { type Secret, SecretFault, type SecretStore } from './secret.ts';

export interface Secrets {
  /**
   * @param place where the record says that they are
   * @returns why there are none, as a sentence, or the secret
   */
  load(broker: string, place: Place): Promise<Secret | string>;
  /**
   * Saves in the best place there is. Never fails: a login that succeeded stays.
   *
   * @param before where they were kept until now
   * @returns where they are now; `undefined` when they could not be kept
   */
  save(broker: string, secret: Secret, before: Place | undefined): Promise<Place | undefined>;
  erase(broker: string, place: Place): Promise<void>;
}

/** @param wanted in place of the keychain, and a file where that does not work */
export function createSecrets(
  host: OwnFiles & Pick<Host, 'bundles' | 'node' | 'now' | 'platform' | 'random' | 'say'>,
  wanted?: SecretStorage,
): Secrets {
  const places: Readonly<Record<Place, SecretStore>> = {
    keychain: createKeychain(host),
    file: createSecretFile(host, configDirectory(host.env, host)),
    memory: createSecretFile(host, runtimeDirectory(host.env, host)),
  };
  const attempts: readonly Place[] = wanted === undefined ? ['keychain', 'file'] : [wanted];
  const keychain = rememberingKeychain(host, places.keychain, wanted === undefined);
  const saveIn = (place: Place, broker: string, secret: Secret) =>
    place === 'keychain' ? keychain.save(broker, secret) : attempt(places[place], broker, secret);

  return {
    async load(broker, place) {
      try {
        return (await places[place].load(broker)) ?? NOTHING[place];
      } catch (error) {
        if (!(error instanceof SecretFault)) throw error;
        if (place === 'keychain') keychain.failed(error.message);
        return error.message;
      }
    },
    async save(broker, secret, before) {
      const { place, faults } = await saveInFirst(attempts, (one) => saveIn(one, broker, secret));
      if (place === undefined) {
        host.say(`the login cannot be kept: ${faults.join(', and ')}`);
        return undefined;
      }
      if (before !== undefined && before !== place) await quietly(places[before].erase(broker));
      const file = place === 'file' && faults.length > 0 && before !== 'file' && fileOf(host, place, broker);
      if (file) host.say(`${faults.join(', ')}: the login is kept in ${file}, readable by you alone`);
      return place;
    },
    async erase(broker, place) {
      await quietly(places[place].erase(broker));
    },
  };
}

const FILE_IS_GONE = 'the file with the login is gone';
/** What is told where a place has nothing for the broker. */
const NOTHING: Readonly<Record<Place, string>> = {
  // A locked keyring answers as if it had nothing.
  keychain: 'the keychain is locked, or lost the login',
  file: FILE_IS_GONE,
  memory: FILE_IS_GONE,
};

/** @param save returns why it did not work @returns the first place that took it, and why those before it did not */
async function saveInFirst(
  attempts: readonly Place[],
  save: (place: Place) => Promise<string | undefined>,
): Promise<{ readonly place?: Place; readonly faults: readonly string[] }> {
  const faults: string[] = [];
  for (const place of attempts) {
    const fault = await save(place);
    if (fault === undefined) return { place, faults };
    faults.push(fault);
  }
  return { faults };
}

/**
 * A keychain that failed is not asked again by this process: one that hangs costs its deadline once.
 *
 * @param remembers whether a failure of an earlier process counts as well: who wants nothing else may have repaired it
 */
function rememberingKeychain(
  host: OwnFiles & Pick<Host, 'now' | 'platform' | 'random'>,
  store: SecretStore,
  remembers: boolean,
) {
  let fault = hasKeychain(host, existsSync) ? undefined : 'there is no keychain';
  return {
    failed(why: string): void {
      fault = why;
    },
    /** @returns why it did not work */
    async save(broker: string, secret: Secret): Promise<string | undefined> {
      fault ??= remembers ? rememberedFault(host) : undefined;
      if (fault !== undefined) return fault;
      fault = await attempt(store, broker, secret);
      rememberProbe(host, fault);
      return fault;
    },
  };
}

/** The file that holds them, where they are in one. */
export function fileOf(host: OwnFiles, place: Place, broker: string): string | undefined {
  if (place === 'keychain') return undefined;
  const directory = place === 'memory' ? runtimeDirectory(host.env, host) : configDirectory(host.env, host);
  return directory === undefined ? undefined : secretFile(directory, broker);
}

/** @returns why it did not work */
async function attempt(store: SecretStore, broker: string, secret: Secret): Promise<string | undefined> {
  try {
    await store.save(broker, secret);
    return undefined;
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

// Secrets in a 0600 file: beneath the settings where there is no keychain, or beneath what ends with the login session.
// No encryption whose key would lie beside it.

import { codeOf } from '../host/error_code.ts';
import { makePrivateDirectory, removeFile, writeWhole } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Reader } from '../warm/machine.ts';
import { fileName } from '../warm/paths.ts';
import { readOurs } from '../warm/read_cache.ts';
import { parseSecret, printSecret, SecretFault, type SecretStore } from './secret.ts';

export function secretFile(directory: string, broker: string): string {
  return `${directory}/secrets/${fileName(broker)}.json`;
}

/** @param directory where it may be; without one there is nothing, and nothing can be kept */
export function createSecretFile(host: Reader & Pick<Host, 'random'>, directory: string | undefined): SecretStore {
  return {
    async load(broker) {
      if (directory === undefined) return undefined;
      const file = secretFile(directory, broker);
      const text = readOurs(host, file);
      if (text === undefined) return undefined;
      if (text.fault !== undefined) throw new SecretFault(`${file} ${text.fault}`);
      return parseSecret(text.content);
    },
    async save(broker, secret) {
      if (directory === undefined) throw new SecretFault('there is no place for a file');
      const folder = `${directory}/secrets`;
      const fault = makePrivateDirectory(folder, host);
      if (fault !== undefined) throw new SecretFault(`${folder} ${fault}`);
      const file = secretFile(directory, broker);
      try {
        writeWhole(file, printSecret(secret), host);
      } catch (error) {
        throw new SecretFault(`${file} cannot be written (${codeOf(error)})`);
      }
    },
    async erase(broker) {
      if (directory === undefined) return;
      const file = secretFile(directory, broker);
      if (!removeFile(file)) throw new SecretFault(`${file} cannot be removed`);
    },
  };
}

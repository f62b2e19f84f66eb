// Secrets in a 0600 file, where there is no keychain. No encryption whose key would lie beside it.

import { readOurs } from '../cache/read.ts';
import { codeOf, makePrivateDirectory, removeFile, writeWhole } from '../files.ts';
import { configDirectoryOf, type Host } from '../host.ts';
import { fileName } from '../paths.ts';
import { parseSecret, printSecret, SecretFault, type SecretStore } from './secret.ts';

export function secretFile(host: Host, broker: string): string {
  return `${configDirectoryOf(host)}/secrets/${fileName(broker)}.json`;
}

export function createSecretFile(host: Host): SecretStore {
  return {
    async load(broker) {
      const file = secretFile(host, broker);
      const text = readOurs(host, file);
      if (text === undefined) return undefined;
      if (text.fault !== undefined) throw new SecretFault(`${file} ${text.fault}`);
      return parseSecret(text.content);
    },
    async save(broker, secret) {
      const directory = `${configDirectoryOf(host)}/secrets`;
      const fault = makePrivateDirectory(directory, host);
      if (fault !== undefined) throw new SecretFault(`${directory} ${fault}`);
      const file = secretFile(host, broker);
      try {
        writeWhole(file, printSecret(secret), host);
      } catch (error) {
        throw new SecretFault(`${file} cannot be written (${codeOf(error)})`);
      }
    },
    async erase(broker) {
      const file = secretFile(host, broker);
      if (!removeFile(file)) throw new SecretFault(`${file} cannot be removed`);
    },
  };
}

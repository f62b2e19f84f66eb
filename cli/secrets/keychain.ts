// Secrets in the OS keychain, asked through a child process that is killed when it hangs.

import { spawn } from 'node:child_process';
import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import { configDirectoryOf, type Host } from '../host/host.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { beneathHome } from '../warm/paths.ts';
import { parseSecret, printSecret, type Secret, SecretFault, type SecretStore } from './secret.ts';

/** No keychain that a person can use takes longer. */
const KEYCHAIN_DEADLINE_MS = 3_000;
const SERVICE = 'curfew';

type Request = { readonly action: 'load' | 'erase' } | { readonly action: 'save'; readonly password: string };

export function createKeychain(host: OwnFiles & Pick<Host, 'bundles' | 'node' | 'platform' | 'say'>): SecretStore {
  const call = (broker: string, request: Request) =>
    ask(host, { ...request, service: SERVICE, account: accountOf(host, broker) });
  return {
    async load(broker) {
      const text = await call(broker, { action: 'load' });
      return text === null ? undefined : parseSecret(text);
    },
    async save(broker, secret) {
      const password = printSecret(fitting(host, secret));
      // A keychain may take a value and not give it back (locked, or too small for it): seen now, not at the next renewal.
      const kept = await call(broker, { action: 'save', password });
      if (kept !== password) throw new SecretFault('the keychain did not keep the value');
    },
    async erase(broker) {
      await call(broker, { action: 'erase' });
    },
  };
}

/** CRED_MAX_CREDENTIAL_BLOB_SIZE of Windows, in bytes. Keychains elsewhere have no limit that matters here. */
const LARGEST_ON_WINDOWS_BYTES = 2_560;

/** Handle and key are small; the identity provider's refresh token may not be, and can be done without. */
function fitting(host: Pick<Host, 'platform' | 'say'>, secret: Secret): Secret {
  if (host.platform !== 'win32' || secret.refresh === undefined) return secret;
  if (Buffer.byteLength(printSecret(secret)) <= LARGEST_ON_WINDOWS_BYTES) return secret;
  host.say(
    "the identity provider's refresh token is too long for this keychain: once it has to confirm the account again, log in",
  );
  const { refresh: _, ...rest } = secret;
  return rest;
}

/** Whether asking makes sense at all: on Linux a keychain is a service on the session's bus. */
export function hasKeychain(
  { platform, env }: Pick<Host, 'env' | 'platform'>,
  busExists: (path: string) => boolean,
): boolean {
  if (platform !== 'linux') return platform === 'darwin' || platform === 'win32';
  if (env.DBUS_SESSION_BUS_ADDRESS) return true;
  return env.XDG_RUNTIME_DIR !== undefined && busExists(`${env.XDG_RUNTIME_DIR}/bus`);
}

/** Two configurations of one person do not share a login. */
function accountOf(host: OwnFiles, broker: string): string {
  const directory = configDirectoryOf(host);
  return directory === beneathHome(host.env, '.config/curfew') ? broker : `${broker} ${directory}`;
}

function ask({ node, bundles, env }: Pick<Host, 'bundles' | 'env' | 'node'>, request: object): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(node, [`${bundles}/keychain.cjs`], { env: { ...env }, stdio: ['pipe', 'pipe', 'ignore'] });
    const chunks: Buffer[] = [];
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new SecretFault(`the keychain did not answer within ${KEYCHAIN_DEADLINE_MS / 1000}s`));
    }, KEYCHAIN_DEADLINE_MS);
    child.on('error', () => finish());
    child.stdin.on('error', () => undefined);
    child.stdin.end(JSON.stringify(request));
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('close', () => finish());
    const finish = () => {
      clearTimeout(deadline);
      const value = parse(Buffer.concat(chunks).toString());
      if (value === undefined) reject(new SecretFault('there is no working keychain'));
      else resolve(value);
    };
  });
}

function parse(text: string): string | null | undefined {
  const reply = parseJson(text);
  if (!isObject(reply)) return undefined;
  return typeof reply.value === 'string' || reply.value === null ? reply.value : undefined;
}

// Targets of a test's broker, tokens for them, and connections to them as the gateway of targets asks for them.

import { createHash, createSecretKey, type KeyObject, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { unseal } from '../../broker/tokens/sealed_key.ts';
import { signEs256 } from '../../serving/jws/es256.ts';
import { type ConnectionReply, isConnectionReply } from '../../shared/connection_wire.ts';
import { GATEWAY_PATHS } from '../../shared/gateway_wire.ts';
import { isTargetTokenReply, type TargetTokenReply } from '../../shared/targets.ts';
import { isObject, isText } from '../../shared/wire.ts';
import type { Holder } from './holder.ts';
import { post } from './review.ts';
import type { TestService } from './service.ts';
import { openStoreDatabase } from './store_database.ts';

const HOST_KEY = `ssh-ed25519 ${Buffer.concat([
  Buffer.from('0000000b7373682d6564323535313900000020', 'hex'),
  createHash('sha256').update('host').digest(),
]).toString('base64')}`;

/** Sections of a broker's configuration, as `startTestService` makes the token. */
export const TARGETS = {
  target_gateway: {
    ...{ public_url: 'wss://targets.example.com', token_file: 'targets-gateway' },
    source_addresses: ['10.0.9.4/32'],
  },
  targets: [
    {
      ...{ name: 'bastion', kind: 'ssh', address: '10.0.0.7:22', allowed_groups: ['*'], host_key: HOST_KEY },
      accounts: [
        { account: 'deploy', groups: ['sre'] },
        { account: 'guest', groups: ['*'] },
      ],
    },
    { name: 'cache', kind: 'tcp', address: '10.0.0.11:6379', allowed_groups: ['*'] },
    { name: 'vault', kind: 'tcp', address: '10.0.0.12:8200', allowed_groups: ['security'] },
  ],
};

/** A token for a target, as a person gets it. @throws unless it is granted */
export async function targetToken(
  holder: Holder,
  handle: string,
  audience: string,
  fields: Readonly<Record<string, string>> = {},
): Promise<TargetTokenReply> {
  const { status, body } = await holder.renew(handle, audience, fields);
  if (status !== 200 || !isTargetTokenReply(body)) throw new Error(`no token: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** A token that says what the test wants, signed by the broker's own key: none that it ever gave out. */
export function forgedToken(service: TestService, claims: object, typ: string): string {
  const { kid, key } = keyOf(service);
  return signedToken({ alg: 'ES256', typ, kid }, claims, key);
}

interface Key {
  readonly kid: string;
  readonly key: KeyObject;
}

const keys = new WeakMap<TestService, Key>();

/** As it is in the store. */
function keyOf(service: TestService): Key {
  const known = keys.get(service);
  if (known) return known;
  using database = openStoreDatabase(service.storeFile);
  const row = database.prepare('select kid, sealed from signing_key order by created_at desc').get();
  const kid = String(row?.kid);
  // PostgreSQL writes bytes as a text.
  const sealed =
    typeof row?.sealed === 'string' ? Buffer.from(row.sealed.slice(2), 'hex') : (row?.sealed as Uint8Array);
  const text = readFileSync(path.join(path.dirname(service.configFile), 'key'), 'utf8');
  const key = unseal({ kid, sealed: Buffer.from(sealed) }, createSecretKey(Buffer.from(text, 'base64')));
  keys.set(service, { kid, key });
  return { kid, key };
}

export function signedToken(header: object, claims: object, key: KeyObject): string {
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${signEs256(input, key).toString('base64url')}`;
}

/** What a gateway has read of a proof. */
export interface ProofShown {
  readonly jti: string;
  readonly jkt: string;
  readonly iat: number;
}

export function proofOf(holder: Pick<Holder, 'jkt' | 'now'>, more: Partial<ProofShown> = {}): ProofShown {
  return { jti: randomUUID(), jkt: holder.jkt, iat: holder.now(), ...more };
}

export interface ConnectionAsked {
  readonly token: string;
  readonly target: string;
  readonly proof: ProofShown;
  readonly address?: string;
}

export interface ConnectionAnswer {
  readonly status: number;
  /** Throws unless it is allowed. */
  readonly reply: ConnectionReply;
  /** Throws unless it is refused in the wire's form. */
  readonly refused: { readonly code: string; readonly message: string };
}

/** @param bearer of the gateway */
export async function askConnection(
  url: string,
  bearer: string | undefined,
  { address = '203.0.113.9', ...asked }: ConnectionAsked,
): Promise<ConnectionAnswer> {
  const { status, body } = await post(url + GATEWAY_PATHS.connections, bearer, { address, ...asked });
  return {
    status,
    get reply() {
      if (status !== 200 || !isConnectionReply(body)) throw new Error(`not allowed: ${status} ${JSON.stringify(body)}`);
      return body;
    },
    get refused() {
      const { code, message } = isObject(body) ? body : {};
      if (status !== 403 || !isText(code) || !isText(message))
        throw new Error(`not refused: ${status} ${JSON.stringify(body)}`);
      return { code, message };
    },
  };
}

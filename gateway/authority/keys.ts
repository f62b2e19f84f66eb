// The broker's public keys; before a cluster also under which audience tokens for it are minted, and whose tokens people have there. Read
// again each minute, and for a key that is not known; a revoked key is never trusted again.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import { type Credential, isMetadata, type MetadataCluster } from '../../shared/metadata.ts';
import { isObject } from '../../shared/wire.ts';
import type { Broker } from './ask.ts';

/** Milliseconds. */
const STALE_MS = 60_000;
/** Tokens with made-up key ids must not turn us into a load on the broker. */
const PAUSE_MS = 2_000;
const MOST_KEYS = 100;
const NOT_TOLD = 'the broker does not tell its keys and clusters';

export interface KeysParts {
  readonly broker: Pick<Broker, 'get'>;
  /** Absent before targets. */
  readonly cluster?: string | undefined;
  readonly elapsed: () => number;
}

export class Keys {
  readonly #parts: KeysParts;
  #keys = new Map<string, KeyObject>();
  readonly #revoked = new Set<string>();
  #is_known = false;
  #audience: string | undefined;
  #credential: Credential | undefined;
  #asked_at = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(parts: KeysParts) {
    this.#parts = parts;
  }

  /** Whether they were read. */
  get isKnown(): boolean {
    return this.#is_known;
  }

  /** What tokens for the cluster's API server name; `undefined` until it was read, and before targets. */
  get audience(): string | undefined {
    return this.#audience;
  }

  /** What people present at the cluster; `undefined` until it was read. */
  get credential(): Credential | undefined {
    return this.#credential;
  }

  isRevoked(kid: string): boolean {
    return this.#revoked.has(kid);
  }

  revoke(kid: string): void {
    this.#revoked.add(kid);
    this.#keys.delete(kid);
  }

  /** Looks for one that is not known, unless it was looked just now. */
  async find(kid: string): Promise<KeyObject | undefined> {
    const known = this.#keys.get(kid);
    if (known || this.#revoked.has(kid)) return known;
    if (this.#reading || this.#parts.elapsed() - this.#asked_at >= PAUSE_MS) await this.read().catch(() => undefined);
    return this.#keys.get(kid);
  }

  /** Where the last answer is older than a minute. @throws CurfewError `broker_unreachable`: what is known stays */
  async refresh(): Promise<void> {
    if (!this.#is_known || this.#parts.elapsed() - this.#asked_at >= STALE_MS) await this.read();
  }

  /** @throws CurfewError `broker_unreachable`; `configuration` where the broker knows no such cluster */
  read(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { broker, cluster, elapsed } = this.#parts;
    this.#asked_at = elapsed();
    const [jwks, found] = await Promise.all([
      broker.get('/jwks'),
      cluster === undefined ? undefined : this.#about(cluster),
    ]);
    if (jwks.status !== 200 || !isObject(jwks.body)) throw new CurfewError('broker_unreachable', NOT_TOLD);
    const keys = Array.isArray(jwks.body.keys) ? jwks.body.keys.slice(0, MOST_KEYS) : [];
    this.#audience = found?.audience;
    this.#credential = found?.credential;
    this.#keys = new Map(keys.flatMap((key) => this.#importKey(key)));
    this.#is_known = true;
  }

  async #about(cluster: string): Promise<MetadataCluster> {
    const { status, body } = await this.#parts.broker.get('/.well-known/curfew');
    if (status !== 200 || !isMetadata(body)) throw new CurfewError('broker_unreachable', NOT_TOLD);
    const found = body.clusters.find(({ name }) => name === cluster);
    if (!found) throw new CurfewError('configuration', `cluster: the broker has no cluster ${cluster}`);
    return found;
  }

  #importKey(key: unknown): [string, KeyObject][] {
    if (!isObject(key) || typeof key.kid !== 'string' || this.#revoked.has(key.kid)) return [];
    const { kid, kty, crv, x, y } = key;
    if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string') return [];
    try {
      return [[kid, createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' })]];
    } catch {
      return [];
    }
  }
}

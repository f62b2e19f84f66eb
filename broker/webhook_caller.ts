// Which cluster's API server asks: known by the bearer token that `print webhook-kubeconfig` gave it, and by nothing else.

import { createHash, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Cluster, Config } from './config.ts';

/** 32 bytes, base64url without padding. */
const BEARER = /^Bearer ([A-Za-z0-9_-]{43})$/i;

/**
 * @param authorization the header as it came
 * @returns `undefined` for anything but the webhook token of a cluster
 */
export function clusterOfToken({ clusters }: Pick<Config, 'clusters'>, authorization = ''): Cluster | undefined {
  const [, token] = BEARER.exec(authorization) ?? [];
  if (token === undefined) return undefined;
  const given = sha256(token);
  // Each is compared, and hashes in constant time: how long it takes says nothing about any of them.
  const [found] = clusters.filter(({ webhook }) => webhook && timingSafeEqual(hashOf(webhook.token), given));
  return found;
}

const hashes = new WeakMap<KeyObject, Buffer>();

function hashOf(token: KeyObject): Buffer {
  const known = hashes.get(token);
  if (known) return known;
  const hash = sha256(token.export().toString('base64url'));
  hashes.set(token, hash);
  return hash;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

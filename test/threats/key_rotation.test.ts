// F8: a signing key is replaced under two brokers while both mint: no API server refuses a token, whichever broker it reads keys from, and
// though it reads them as rarely as it may. The real kube-apiserver, at 500 requests a second, is the long form's (`key_rotation`).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { rotateKeys } from '../../broker/commands/keys.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { ISSUER, startTestService, type TestService } from '../support/service.ts';

/** Seconds: what is published is read again after 60, by an API server that may take 10 for it. */
const READS_EVERY = 70;
/** Before the rotation, and from then on until nothing of the old key is published any more. */
const [BEFORE, AFTER] = [20, 120 + 300 + 10 + 60 + 20];

let service: TestService;
let other: { readonly issuer: string; readonly url: string };
before(async () => {
  service = await startTestService({}, { postgres: true });
  other = await service.replica();
});
after(() => service.stop());

test('F8 while a signing key is replaced under two brokers no token of either is refused, to its last second', async () => {
  const urls = () => [service.url, other.url];
  const published = async (url: string) => (await (await fetch(`${url}/jwks`)).json()) as JSONWebKeySet;
  const holders = await Promise.all(
    urls().map(async (url, i) => {
      const holder = new Holder({ url, issuer: ISSUER }, () => service.now);
      const claims = service.claims(holder, { sub: `f8-${i}`, email: `f8-${i}@example.com` });
      const { granted } = await holder.exchange(service.issuer.sign(claims));
      return { holder, handle: granted.refresh_token ?? '' };
    }),
  );
  /** API servers, one that reads from each broker, at different seconds. */
  const readers = await Promise.all(
    urls().map(async (url, i) => ({ url, next: service.now + i * 35, keys: await published(url) })),
  );
  const check = async (token: string, at: number) => {
    for (const { keys } of readers)
      await jwtVerify(token, createLocalJWKSet(keys), { issuer: ISSUER, currentDate: new Date(at * 1000) });
  };
  const kids = new Set<string>();
  const last = new Map<number, string[]>();
  let checked = 0;
  for (let second = 0; second < BEFORE + AFTER; second += 1) {
    if (second === BEFORE) {
      await rotateKeys(await loadConfig(service.configFile, { env: process.env }), {
        now: () => service.now,
        by: 'root',
        note: 'drill',
      });
      for (const url of urls()) await until(async () => (await published(url)).keys.length === 2, 'it is not heard of');
    }
    for (const reader of readers) {
      if (reader.next > service.now) continue;
      Object.assign(reader, { keys: await published(reader.url), next: service.now + READS_EVERY });
    }
    for (const { holder, handle } of holders) {
      const { access_token: token, expires_in } = (await holder.renew(handle, 'dev')).granted;
      kids.add(String(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid));
      await check(token, service.now);
      const end = service.now + expires_in - 1;
      last.set(end, [...(last.get(end) ?? []), token]);
    }
    for (const token of last.get(service.now) ?? []) {
      await check(token, service.now);
      checked += 1;
    }
    service.advance(1);
    if (second % 10 === 0) await service.sweep();
  }
  assert.equal(kids.size, 2, 'both keys signed');
  assert.ok(checked > 300, `${checked} tokens lasted to their last second`);
  for (const url of urls())
    await until(async () => (await published(url)).keys.length === 1, 'the old key is published still');
});

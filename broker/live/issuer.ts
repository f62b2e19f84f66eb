// The broker as API servers and people reach it: at its issuer's address, with the certificate authority that they were given.

import { isObject } from '../../shared/wire.ts';
import type { Config } from '../config/settings.ts';
import { type Answer, type Ask, isSilent } from './ask.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';

type Named = Pick<Config, 'issuer' | 'issuer_ca'>;

/** @returns the answer as well, where one came: its certificate and its clock */
export async function lookAtIssuer({ issuer, issuer_ca: ca }: Named, ask: Ask): Promise<readonly [Seen, Answer?]> {
  const url = `${issuer}/.well-known/openid-configuration`;
  const answer = await ask({ url, ca });
  if (isSilent(answer)) {
    const todo = answer.certificate
      ? 'let issuer_ca_file hold the authority that signed it, and print authn-config again'
      : 'see that the broker runs, and that DNS and what is in front of it lead to it';
    return [wrong('broker', issuer, answer.silent, todo)];
  }
  const { status, json } = answer;
  if (status !== 200)
    return [wrong('broker', issuer, `answers HTTP ${status} where its discovery should be`, FRONT), answer];
  if (json.issuer !== issuer) {
    const said = typeof json.issuer === 'string' ? json.issuer.slice(0, 200) : 'none';
    const says = `serves the discovery of another issuer: ${said}`;
    return [
      wrong('broker', issuer, says, 'API servers refuse it: see what is in front, and the issuer it runs with'),
      answer,
    ];
  }
  const ready = await ask({ url: `${new URL(issuer).origin}/readyz`, ca });
  if (!isSilent(ready) && ready.status === 503)
    return [wrong('broker', issuer, `is not ready: ${ready.text.trim().slice(0, 200)}`, 'see its log'), answer];
  return [fine('broker', issuer, 'answers with its own discovery'), answer];
}

const FRONT = 'see what is in front of the broker: the path of the issuer must lead to it as it is';

/** @param kids of the store: what signs first @param signing its id */
export async function lookAtKeys(
  { issuer, issuer_ca: ca }: Named,
  ask: Ask,
  kids: readonly string[] | undefined,
  signing: string | undefined,
): Promise<Seen> {
  if (!kids || signing === undefined)
    return unknown('keys', issuer, 'not compared: the store is not read', 'see the store, below');
  const answer = await ask({ url: `${issuer}/jwks`, ca });
  if (isSilent(answer)) return unknown('keys', issuer, answer.silent, 'see the broker, above');
  const served = Array.isArray(answer.json.keys)
    ? answer.json.keys.flatMap((key) => (isObject(key) && typeof key.kid === 'string' ? [key.kid] : []))
    : [];
  if (served.includes(signing)) return fine('keys', issuer, `serves the key that signs, ${signing}`);
  return served.some((kid) => kids.includes(kid))
    ? wrong(
        'keys',
        issuer,
        `serves keys of before, without ${signing}, which signs`,
        'see what in front of it keeps /jwks longer than its Cache-Control says',
      )
    : wrong(
        'keys',
        issuer,
        'serves keys of another store',
        'see that the broker there runs with this configuration, and this store',
      );
}

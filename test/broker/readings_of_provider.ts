// Signals of the identity provider: logout tokens, security events.

import { jwtVerify } from 'jose';
import type { Transmitter } from '../../broker/config/settings.ts';
import { verifySet } from '../../broker/signals/set.ts';
import type { Expected } from '../../broker/upstream/id_token.ts';
import { candidates, verifiedByOne } from '../../broker/upstream/key_set.ts';
import { checkLogoutClaims, checkLogoutHeader } from '../../broker/upstream/logout_token.ts';
import type { Signed } from '../../broker/upstream/published_keys.ts';
import { parseCompactJws } from '../../serving/jws/jws.ts';
import { seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { claims, type Draft, draftOf, headers, instants, NOW, TEXTS, TYPES } from './drafts.ts';
import {
  AUDIENCES,
  date,
  FORMS,
  hides,
  IDP,
  ISSUERS,
  isText,
  local,
  must,
  OF_ALL,
  published,
  type Reading,
  SKEW,
  taken,
} from './reading.ts';
import { nullIsNone } from './readings_of_id_tokens.ts';

const expected: Expected = {
  ...{ issuer: IDP, client_id: 'curfew', clock_skew: seconds(SKEW), id_token_signing_algs: ['ES256'] },
};

async function isSigned(token: string, { alg, kid }: Signed): Promise<boolean> {
  return verifiedByOne(token, alg, candidates(published, { alg, kid }));
}

const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout';
export const logoutToken: Reading = {
  draft: draftOf(
    { alg: 'ES256', kid: 'one', typ: 'logout+jwt' },
    {
      iss: IDP,
      aud: 'curfew',
      iat: NOW,
      exp: NOW + 120,
      jti: 'lo-1',
      sub: 'alice',
      sid: 's',
      events: { [LOGOUT]: {} },
    },
  ),
  ours: (token) =>
    taken(async () => {
      const jws = parseCompactJws(token);
      return (
        jws &&
        (await isSigned(token, checkLogoutHeader(jws, expected))) &&
        checkLogoutClaims(jws.payload, expected, seconds(NOW))
      );
    }),
  // Back-Channel Logout 2.6.
  theirs: async (token) => {
    const { payload } = await jwtVerify(token, local, {
      ...{ ...date, issuer: IDP, audience: 'curfew', requiredClaims: ['iat', 'jti', 'events'] },
    });
    const { events, nonce, sub, sid, iat, jti } = payload;
    must(isObject(events) && isObject(events[LOGOUT]), 'no event');
    must(nonce === undefined && (isText(sub) || isText(sid)) && isText(jti), 'nonce, or nobody');
    must(Number(iat) <= NOW + SKEW, 'from the future');
  },
  variants: [
    ...FORMS,
    ...TYPES,
    ...instants('exp', 'iat'),
    ...[NOW - 119, NOW - 120].map((iat) => ({
      name: `without exp, iat: ${iat}`,
      change: (draft: Draft) => ({ ...draft, claims: { ...draft.claims, iat, exp: undefined } }),
    })),
    ...claims('aud', ...AUDIENCES),
    ...claims('iss', ...ISSUERS),
    ...['sub', 'sid', 'jti', 'nonce'].flatMap((name) => claims(name, ...TEXTS)),
    ...claims(
      'events',
      undefined,
      null,
      {},
      [],
      { [LOGOUT]: null },
      { [LOGOUT]: [] },
      { [LOGOUT]: 1 },
      { x: {}, [LOGOUT]: { a: 1 } },
    ),
  ],
  stricter: [
    ...OF_ALL,
    {
      name: 'typ',
      why: 'what says that it is something else is no logout token',
      holds: ({ header: { typ } }) => typ !== undefined && !/^(application\/)?(logout\+)?jwt$/i.test(String(typ)),
    },
    {
      name: 'names',
      why: 'who is meant is a text in which nothing hides: one that is there and unfit is not passed over',
      holds: ({ payload: { sub, sid, jti } }) =>
        [sub, sid].some((value) => value !== undefined && value !== null && (!isText(value) || hides(value))) ||
        hides(jti),
    },
    {
      name: 'times',
      why: 'negative times, and those beyond what numbers hold exactly, are no times',
      holds: ({ payload: { iat, exp } }) =>
        [iat, exp ?? 0].some((value) => Number(value) < 0 || !(Number(value) <= 2 ** 53 - 1)),
    },
    {
      name: 'two minutes',
      why: 'one without exp is over two minutes after it was issued (2.4)',
      holds: ({ payload: { iat, exp } }) => exp === undefined && Number(iat) <= NOW - 120,
    },
  ],
  looser: [nullIsNone('exp')],
};

const SSF = 'https://curfew.example.com/ssf';
const EVENT = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const transmitter: Transmitter = { issuer: IDP, audience: SSF, issuers: [IDP] };
const signer = {
  wait: () => seconds(1),
  verify: async (token: string, signed: Signed) => ((await isSigned(token, signed)) ? 'good' : 'bad'),
} as const;

export const securityEvent: Reading = {
  draft: draftOf(
    { alg: 'ES256', kid: 'one', typ: 'secevent+jwt' },
    {
      ...{ iss: IDP, aud: SSF, iat: NOW, jti: 'set-1', sub_id: { format: 'iss_sub', iss: IDP, sub: 'alice' } },
      events: { [EVENT]: { event_timestamp: NOW } },
    },
  ),
  ours: (token) => taken(() => verifySet(token, transmitter, signer, seconds(NOW))),
  // RFC 8417 2.2 and 2.3; a SET has no times that make it void.
  theirs: async (token) => {
    const { payload } = await jwtVerify(token, local, {
      ...{ ...date, issuer: IDP, audience: SSF, typ: 'secevent+jwt', requiredClaims: ['iat', 'jti', 'events'] },
    });
    must(isObject(payload.events) && Object.keys(payload.events).length > 0, 'no events');
    must(isText(payload.jti), 'no jti');
  },
  variants: [
    ...FORMS,
    ...TYPES,
    ...instants('iat'),
    ...headers('typ', 'SecEvent+JWT', 'application/secevent+jwt'),
    ...claims('aud', ...AUDIENCES),
    ...claims('iss', ...ISSUERS),
    ...claims('jti', ...TEXTS),
    ...claims('iat', NOW - 30 * 86_400, NOW - 30 * 86_400 + 1),
    ...claims(
      'events',
      undefined,
      null,
      {},
      [],
      [EVENT],
      { [EVENT]: null },
      { [EVENT]: 1 },
      { 'a\u202e': {} },
      { a: {}, b: {} },
    ),
    ...claims('events', Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`e${i}`, {}]))),
  ],
  stricter: [
    ...OF_ALL,
    {
      name: 'thirty days',
      why: 'whether an older one was received before is not known any more',
      holds: ({ payload: { iat } }) => Number(iat) <= NOW - 30 * 86_400,
    },
    {
      name: 'times',
      why: 'negative times, and those beyond what numbers hold exactly, are no times',
      holds: ({ payload: { iat } }) => Number(iat) < 0 || !(Number(iat) <= 2 ** 53 - 1),
    },
    {
      name: 'events',
      why: 'each is an object under a name in which nothing hides, ten at most',
      holds: ({ payload: { events, jti } }) =>
        hides(jti) ||
        (isObject(events) &&
          (Object.keys(events).length > 10 ||
            Object.keys(events).some(hides) ||
            !Object.values(events).every(isObject))),
    },
  ],
};

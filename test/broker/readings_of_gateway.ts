// Tokens as a gateway reads them: of the broker, and of a cluster that signs its people's tokens itself. Times are judged later, with each request.

import { generateKeyPairSync, sign } from 'node:crypto';
import { compactVerify } from 'jose';
import { Verifier, type VerifierParts } from '../../gateway/credentials/verify.ts';
import { isObject } from '../../shared/wire.ts';
import { claims, draftOf, instants, NOW, OWN, TEXTS, TYPES } from './drafts.ts';
import { AUDIENCES, type Difference, FORMS, ISSUER, ISSUERS, isWhole, must, OF_ALL, type Reading } from './reading.ts';

const [RSA] = [generateKeyPairSync('rsa', { modulusLength: 2048 })];

const keys = {
  ...{ audience: 'dev', credential: 'token', isRevoked: () => false },
  find: async (kid: string) => (kid === 'one' ? OWN.publicKey : undefined),
} as unknown as VerifierParts['keys'];

const payloadOf = async (token: string, key: Parameters<typeof compactVerify>[1], algorithms: string[]) => {
  const { payload, protectedHeader } = await compactVerify(token, key, { algorithms });
  const read: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  if (!isObject(read)) throw new Error('no claims');
  return { header: protectedHeader, payload: read };
};
const isTime = (value: unknown) => typeof value === 'number';

const KID: Difference = {
  name: 'kid',
  why: 'what the broker signs names its key',
  holds: ({ header }) => header.kid !== 'one',
};
const WHOLE_TIMES: Difference = {
  name: 'whole seconds',
  why: 'what is signed for people has whole seconds: another form is not of its signer',
  holds: ({ payload }) => !['nbf', 'exp'].every((name) => isWhole(payload[name])),
};

export const atGateway: Reading = {
  draft: draftOf(
    { alg: 'ES256', typ: 'curfew+jwt', kid: 'one' },
    { iss: ISSUER, aud: 'dev', sid: 's', username: 'curfew:alice', iat: NOW, nbf: NOW, exp: NOW + 300, jti: 'j' },
  ),
  ours: async (token) =>
    (await new Verifier({ issuer: ISSUER, cluster: 'dev', keys }).verify(token)).kind === 'session',
  theirs: async (token) => {
    const { header, payload } = await payloadOf(token, OWN.publicKey, ['ES256']);
    must(/^(application\/)?curfew\+jwt$/i.test(String(header.typ)), 'another typ');
    const { iss, aud, sid, username, nbf, exp } = payload;
    must(iss === ISSUER && [aud].flat().includes('dev'), 'for another');
    must(typeof sid === 'string' && typeof username === 'string' && isTime(nbf) && isTime(exp), 'not of the broker');
  },
  variants: [
    ...FORMS,
    ...TYPES,
    ...instants('exp', 'nbf', 'iat'),
    ...claims('aud', ...AUDIENCES, 'dev'),
    ...claims('iss', ...ISSUERS),
    ...['sid', 'username', 'jti'].flatMap((name) => claims(name, ...TEXTS)),
  ],
  stricter: [
    ...OF_ALL,
    KID,
    {
      name: 'typ as it is written',
      why: 'what the broker signs has its typ in one spelling',
      holds: ({ header }) => header.typ !== 'curfew+jwt',
    },
    WHOLE_TIMES,
    { name: 'one audience', why: 'a token is for one cluster', holds: ({ payload }) => payload.aud !== 'dev' },
  ],
};

const SECRET = { namespace: 'sessions', secret: { name: 's', uid: 'u-1' } };
export const ofCluster: Reading = {
  draft: {
    ...draftOf(
      { alg: 'RS256', kid: 'one' },
      {
        ...{ iss: 'https://kubernetes.default.svc', aud: ['https://kubernetes.default.svc'], nbf: NOW, exp: NOW + 600 },
        ...{ sub: 'system:serviceaccount:sessions:dev', iat: NOW, jti: 'j', 'kubernetes.io': SECRET },
      },
    ),
    signature: (input) => sign('sha256', Buffer.from(input), RSA?.privateKey ?? ''),
  },
  ours: async (token) => {
    const service_account_keys = RSA ? [{ kid: 'one', key: RSA.publicKey }] : [];
    const verifier = new Verifier({ issuer: ISSUER, cluster: 'dev', keys, service_account_keys });
    return (await verifier.verify(token)).kind === 'session';
  },
  theirs: async (token) => {
    if (!RSA) throw new TypeError('no key');
    const { payload } = await payloadOf(token, RSA.publicKey, ['RS256']);
    const { sub, nbf, exp, 'kubernetes.io': bound } = payload;
    must(isObject(bound) && isObject(bound.secret) && typeof bound.secret.uid === 'string', 'bound to no Secret');
    must(typeof sub === 'string' && isTime(nbf) && isTime(exp), 'not of the cluster');
  },
  variants: [
    ...FORMS,
    ...TYPES,
    ...instants('exp', 'nbf'),
    ...claims('iss', ...ISSUERS, ISSUER),
    ...claims('sub', ...TEXTS),
    ...claims('kubernetes.io', undefined, null, [], 'x', {}, { secret: null }, { secret: {} }, { secret: { uid: 7 } }),
    ...claims('kubernetes.io', { secret: { uid: 'u-2' } }, { pod: { uid: 'u-1' } }, { secret: [SECRET.secret] }),
  ],
  stricter: [
    ...OF_ALL,
    KID,
    WHOLE_TIMES,
    {
      name: 'neither kind nor issuer of the broker',
      why: 'what says that it is the broker’s is judged as such',
      holds: ({ header, payload }) => /^curfew(-gateway)?\+jwt$/.test(String(header.typ)) || payload.iss === ISSUER,
    },
  ],
};

// Tokens for targets, as the broker reads them when a gateway asks for a connection.

import { jwtVerify } from 'jose';
import type { TargetSettings } from '../../broker/config/target_settings.ts';
import { verifyTargetToken } from '../../broker/tokens/verify.ts';
import { seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { claims, draftOf, instants, NOW, TEXTS, TYPES } from './drafts.ts';
import {
  AUDIENCES,
  date,
  FORMS,
  ISSUER,
  ISSUERS,
  isText,
  isWhole,
  jwk,
  local,
  must,
  OF_ALL,
  type Reading,
} from './reading.ts';

const TARGETS = [
  { name: 'cache', audience: 'dev' },
  { name: 'vault', audience: 'urn:vault' },
] as unknown as readonly TargetSettings[];
const PARTS = { config: { issuer: ISSUER, targets: TARGETS }, keys: { jwks: { keys: [jwk] } } } as unknown;
const CLAIMS = {
  ...{ iss: ISSUER, aud: 'dev', sub: 'alice', username: 'curfew:alice', sid: 's', jti: 'j', target: 'cache' },
  ...{ iat: NOW, nbf: NOW, exp: NOW + 60, cnf: { jkt: 'thumbprint' } },
};
const TYP = 'curfew-target+jwt';

export const targetToken: Reading = {
  draft: draftOf({ alg: 'ES256', typ: TYP, kid: 'one' }, { ...CLAIMS, account: 'deploy' }),
  ours: async (token) =>
    verifyTargetToken(PARTS as Parameters<typeof verifyTargetToken>[0], token, seconds(NOW)) !== undefined,
  theirs: async (token) => {
    const requiredClaims = Object.keys(CLAIMS);
    const { payload } = await jwtVerify(token, local, {
      ...date,
      issuer: ISSUER,
      audience: 'dev',
      typ: TYP,
      requiredClaims,
    });
    must(isObject(payload.cnf) && typeof payload.cnf.jkt === 'string', 'bound to no key');
    must(payload.target === 'cache', 'for another target');
  },
  variants: [
    ...FORMS,
    ...TYPES,
    ...instants('exp', 'nbf', 'iat'),
    ...claims('aud', ...AUDIENCES, ['dev'], 'urn:vault'),
    ...claims('iss', ...ISSUERS),
    ...['sub', 'username', 'sid', 'jti', 'account'].flatMap((name) => claims(name, ...TEXTS)),
    ...claims('target', ...TEXTS, 'vault', 'Cache', ['cache']),
    ...claims(
      'cnf',
      undefined,
      null,
      'thumbprint',
      [],
      {},
      { jkt: '' },
      { jkt: 7 },
      { jwk: {} },
      { jkt: 'x', jwk: {} },
    ),
  ],
  stricter: [
    ...OF_ALL,
    {
      name: 'kid',
      why: 'what this broker signs names its key, which must be a published one',
      holds: ({ header }) => header.kid !== 'one',
    },
    {
      name: 'typ as it is written',
      why: 'what this broker signs has its typ in one spelling',
      holds: ({ header }) => header.typ !== TYP,
    },
    {
      name: 'whole seconds',
      why: 'what this broker signs has whole seconds: another form is not its own',
      holds: ({ payload }) => !['iat', 'nbf', 'exp'].every((name) => isWhole(payload[name])),
    },
    {
      name: 'exp after iat',
      why: 'what was over as it was made was not made here',
      holds: ({ payload: { exp, iat } }) => Number(exp) <= Number(iat),
    },
    { name: 'one audience', why: 'a token is for one target', holds: ({ payload }) => payload.aud !== 'dev' },
    {
      name: 'forms of claims',
      why: 'what this broker signs has texts, and a key that it is bound to',
      holds: ({ payload: { account, cnf, ...rest } }) =>
        !['sub', 'username', 'sid', 'jti'].every((name) => isText(rest[name])) ||
        !(account === undefined || isText(account)) ||
        !(isObject(cnf) && isText(cnf.jkt)),
    },
  ],
};

// Whether a person's token would be larger than what is read.

import { LONGEST_JWS } from '../../serving/jws/jws.ts';
import type { Seconds } from '../../shared/time.ts';
import { TOKEN_TYP } from '../../shared/token_typ.ts';
import { personsAudience } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { mayUse } from '../policy/admission.ts';
import { isTooLong } from '../tokens/mint.ts';
import { ID_LENGTH } from '../tokens/random.ts';
import { tokenIdLength } from '../tokens/token_id.ts';

/** Who a token speaks of. */
export interface Named {
  readonly sub: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly acr?: string | undefined;
}

/**
 * Whether tokens for this person would be larger than any that we read: for the cluster, or without one for some that admits
 * them. Said before anything is minted, as such a token would be good at the API server and nobody's here.
 */
export function isTooLarge(
  { issuer, clusters }: Pick<Config, 'issuer' | 'clusters'>,
  cluster: Cluster | undefined,
  { sub, username, groups, acr }: Named,
  idp_groups: readonly string[],
  now: Seconds,
): boolean {
  const targets = (cluster ? [cluster] : clusters).filter(
    (one) => one.credential === 'token' && mayUse(one, idp_groups),
  );
  const kinds = targets.flatMap((one): readonly ReturnType<typeof personsAudience>[] => {
    const persons = personsAudience(one);
    // What a gateway gets in its place is read here too.
    return persons.audience === one.audience ? [persons] : [persons, { audience: one.audience, typ: TOKEN_TYP }];
  });
  return kinds.some(({ audience: aud, typ }) => {
    // Session and token have ids of one length; so have all times until the year 2286.
    const ids = { sid: '0'.repeat(ID_LENGTH), jti: '0'.repeat(tokenIdLength(now)) };
    const times = { iat: now, nbf: now, exp: now, auth_time: now };
    return isTooLong(
      { iss: issuer, aud, sub, username, groups, ...ids, ...times, ...(acr !== undefined && { acr }) },
      typ,
    );
  });
}

export const TOO_LARGE = `name and groups are more than a token of ${LONGEST_JWS} characters holds`;

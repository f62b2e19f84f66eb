// Whether a request may pass: whose it is, what it reaches, and what the engine says. What takes time comes first; what is decided is
// decided after it, and takes effect before anything else can happen.

import { LEASE_SECONDS } from '../shared/gateway_wire.ts';
import { between, over } from '../shared/time.ts';
import type { Authority } from './authority/authority.ts';
import type { Speaker } from './authority/leases.ts';
import type { Judgement } from './authority/verdicts.ts';
import { credentialIn } from './credentials/credential.ts';
import type { SessionToken, Verifier } from './credentials/verify.ts';
import { type HeaderList, impersonates } from './request/headers.ts';
import { type Asked, targetOf } from './request/target.ts';
import { badRequest, KEY_REVOKED, LOST_BROKER, OTHER_CREDENTIALS, type Refusal, UNAUTHORIZED } from './words.ts';

/** Milliseconds for what a request waits for. */
const WAIT_MS = LEASE_SECONDS * 500;

/** As API servers have it: the broker's clock is known to the second, and that of its replicas differs. */
const EARLY_SECONDS = 60;

export interface Received {
  readonly method: string;
  /** Path and query, as they came. */
  readonly url: string;
  readonly headers: HeaderList;
}

export interface AdmitParts {
  readonly authority: Authority;
  readonly verifier: Pick<Verifier, 'verify'>;
  readonly other_credentials: 'refuse' | 'pass';
}

/** Everything that had to be waited for. */
export interface Prepared {
  readonly asked: Asked;
  /** As they go on, credential included. */
  readonly headers: HeaderList;
  readonly speaker?: Speaker | undefined;
  readonly kid?: string | undefined;
  /** Decides as of now. @returns why it does not pass, or the segment whose limits it met */
  decide(): Refusal | { readonly segment?: string | undefined };
}

export function isRefusal(value: object): value is Refusal {
  return 'status' in value && 'message' in value;
}

export async function prepare(parts: AdmitParts, { method, url, headers }: Received): Promise<Prepared | Refusal> {
  const { authority, verifier, other_credentials } = parts;
  if (!/^\/[\x21-\x7e]*$/.test(url)) return badRequest('not a path');
  const presented = credentialIn(headers);
  if (isRefusal(presented)) return presented;
  const { token, headers: rest } = presented;
  const asked = targetOf(method, url, impersonates(headers));
  const verified = token === undefined ? ({ kind: 'other' } as const) : await verifier.verify(token);
  if (verified.kind === 'invalid') return UNAUTHORIZED;
  if (verified.kind === 'revoked') return KEY_REVOKED;
  if (verified.kind === 'other') {
    if (other_credentials === 'refuse') return OTHER_CREDENTIALS;
    return { asked, headers: token === undefined ? rest : withToken(rest, token), decide: () => ({}) };
  }
  return prepareSession(authority, verified, token ?? '', asked, rest);
}

async function prepareSession(
  authority: Authority,
  verified: SessionToken,
  token: string,
  asked: Asked,
  rest: HeaderList,
): Promise<Prepared | Refusal> {
  const speaker: Speaker = { asked: verified.asked, user: verified.user };
  // Before anything is asked for: whoever is late learns it at once.
  if (authority.lost()) return LOST_BROKER;
  const early = faultOf(authority, verified);
  if (early) return early;
  if (authority.leases.judge(speaker, asked.within).kind === 'unknown') {
    const waited = within(authority.leases.obtain(verified.asked, asked.within));
    if (!(await waited)) return LOST_BROKER;
  } else authority.leases.want(verified.asked, asked.within);
  const before = authority.leases.judge(speaker, asked.within);
  const refused = refusalOf(before);
  if (refused) return refused;
  const swapped = verified.for_gateway ? await swap(authority, token) : token;
  if (typeof swapped !== 'string') return swapped;
  return {
    asked,
    headers: withToken(rest, swapped),
    speaker,
    kid: verified.kid,
    decide() {
      if (authority.lost()) return LOST_BROKER;
      const judgement = authority.leases.judge(speaker, asked.within);
      const fault = faultOf(authority, verified) ?? refusalOf(judgement);
      if (fault) return fault;
      // A key that was revoked took its swapped tokens with it.
      if (verified.for_gateway && authority.swaps.known(token) !== swapped) return LOST_BROKER;
      return judgement.kind === 'allowed' ? { segment: judgement.limits.segment } : {};
    },
  };
}

/** The token itself, as of now. */
function faultOf({ clock, keys }: Authority, { kid, exp, not_before }: SessionToken): Refusal | undefined {
  if (kid !== undefined && keys.isRevoked(kid)) return KEY_REVOKED;
  const now = clock.now();
  if (now === undefined) return LOST_BROKER;
  return over(exp, now) || between(now, not_before) > EARLY_SECONDS ? UNAUTHORIZED : undefined;
}

function refusalOf(judgement: Judgement): Refusal | undefined {
  switch (judgement.kind) {
    case 'allowed':
      return undefined;
    case 'denied':
      return judgement.refusal;
    case 'unknown':
      return LOST_BROKER;
  }
}

async function swap({ swaps }: Authority, token: string): Promise<string | Refusal> {
  try {
    return (await swaps.swap(token)) ?? UNAUTHORIZED;
  } catch {
    return LOST_BROKER;
  }
}

/** @returns whether it came in time */
async function within(story: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), WAIT_MS);
  });
  const came = story.then(
    () => true,
    () => false,
  );
  try {
    return await Promise.race([came, late]);
  } finally {
    clearTimeout(timer);
  }
}

function withToken(headers: HeaderList, token: string): HeaderList {
  return [...headers, ['authorization', `Bearer ${token}`]];
}

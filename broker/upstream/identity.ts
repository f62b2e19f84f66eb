// Who an ID token speaks of, in Kubernetes' words: username and groups, from the configured claims. Pure; refuses what
// could be taken for someone or something else.

import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import { isReserved } from '../config/names.ts';
import type { IdentityProviderSettings } from '../config/settings.ts';
import { faultOfName } from '../text/names.ts';

export type IdentitySettings = Pick<
  IdentityProviderSettings,
  'username_claim' | 'groups_claim' | 'username_prefix' | 'groups_prefix'
>;

export interface IdentityClaims {
  readonly iss: string;
  readonly sub: string;
  /** All claims of the verified ID token. */
  readonly claims: Readonly<Record<string, unknown>>;
}

export interface Identity {
  /** The person is the pair (`iss`, `sub`); all else is a label. */
  readonly iss: string;
  readonly sub: string;
  /** As Kubernetes sees them, with their prefixes. */
  readonly username: string;
  readonly groups: readonly string[];
  /** As the IdP gives them: settings use these. */
  readonly idp_username: string;
  readonly idp_groups: readonly string[];
}

const MOST_GROUPS = 500;
/**
 * @param groups_tighten whether something is tighter for who is in a group (`groupsTighten`): then who has none, or has them in
 *   a form that may hide one, is refused, as it cannot be told from somebody whose groups got lost on the way
 * @throws CurfewError `username` or `groups`, naming the claim and the fault, without its value.
 */
export function identify(
  { iss, sub, claims }: IdentityClaims,
  settings: IdentitySettings,
  groups_tighten: boolean,
): Identity {
  const idp_username = usernameOf(claims, settings.username_claim);
  const idp_groups = groupsOf(claims, settings.groups_claim, groups_tighten);
  const username = settings.username_prefix + idp_username;
  const groups = idp_groups.map((group) => settings.groups_prefix + group);
  if (isReserved(idp_username) || isReserved(username)) {
    throw new CurfewError(
      'username',
      `the claim ${settings.username_claim} gives a username that begins with "system:"`,
    );
  }
  if (idp_groups.some(isReserved) || groups.some(isReserved)) {
    throw new CurfewError('groups', `the claim ${settings.groups_claim} has a group that begins with "system:"`);
  }
  return Object.freeze({
    iss,
    sub,
    username,
    groups: Object.freeze(groups),
    idp_username,
    idp_groups: Object.freeze(idp_groups),
  });
}

/** The name that the IdP gives, as Kubernetes would see it, fit or not; `undefined` where the ID token names nobody. */
export function claimedUsername({ claims }: IdentityClaims, settings: IdentitySettings): string | undefined {
  const value = own(claims, settings.username_claim);
  return typeof value === 'string' && value.trim() !== '' ? settings.username_prefix + value : undefined;
}

/** Who the ID token speaks of, or why Kubernetes cannot be told that name. */
export function identityOf(
  idToken: IdentityClaims,
  settings: IdentitySettings,
  groups_tighten: boolean,
): Identity | { readonly fault: CurfewError } {
  try {
    return identify(idToken, settings, groups_tighten);
  } catch (fault) {
    if (fault instanceof CurfewError) return { fault };
    throw fault;
  }
}

function usernameOf(claims: IdentityClaims['claims'], claim: string): string {
  const value = own(claims, claim);
  if (value === undefined)
    throw new CurfewError('username', `the ID token has no claim ${claim}, which gives the username`);
  const fault = faultOfName(value);
  if (fault) throw new CurfewError('username', `the claim ${claim}, which gives the username, ${fault}`);
  // two spellings of one name must not become two people
  if (String(value).normalize('NFC') !== value) {
    throw new CurfewError('username', `the claim ${claim}, which gives the username, is not in Unicode's NFC`);
  }
  if (claim === 'email' && own(claims, 'email_verified') !== true) {
    throw new CurfewError(
      'username',
      'the e-mail address is the username, and the ID token does not say email_verified: true',
    );
  }
  return String(value);
}

/**
 * One text is one group; null is none, as servers write an empty list so. An empty text is no group.
 *
 * @param strict see `identify`
 */
function groupsOf(claims: IdentityClaims['claims'], claim: string, strict: boolean): string[] {
  if (elsewhere(claims, claim)) {
    throw new CurfewError(
      'groups',
      `group overage: the identity provider left the claim ${claim} out of the ID token, as there are too many groups`,
    );
  }
  const value = own(claims, claim) ?? [];
  const list: unknown = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list)) throw new CurfewError('groups', `the claim ${claim} is not a list of groups`);
  // `dev contractors`: one group with a space in its name, or two
  if (strict && typeof value === 'string' && /[\s,;[\]{}"]/.test(value)) {
    throw new CurfewError(
      'groups',
      `the claim ${claim} is one text that may mean several groups, and the policy is tighter for some: expected a list`,
    );
  }
  const groups = new Set<string>();
  for (const group of list) {
    if (group === '' && !strict) continue;
    const fault = faultOfName(group);
    if (fault) throw new CurfewError('groups', `a group in the claim ${claim} ${fault}`);
    groups.add(group);
  }
  if (groups.size > MOST_GROUPS) {
    throw new CurfewError('groups', `the claim ${claim} has ${groups.size} groups, more than ${MOST_GROUPS}`);
  }
  if (strict && groups.size === 0) {
    throw new CurfewError('groups', `the claim ${claim} has no group, and the policy is tighter for some groups`);
  }
  return [...groups];
}

/**
 * OIDC Core 5.6.2: the claim stands at another place. We follow no URL out of a token, and without the groups know too little.
 * Entra ID says `hasgroups: true` instead where a URL would be too long.
 */
function elsewhere(claims: IdentityClaims['claims'], claim: string): boolean {
  if (own(claims, 'hasgroups') === true && own(claims, claim) === undefined) return true;
  const names = own(claims, '_claim_names') ?? undefined;
  if (names === undefined) return false;
  return !isObject(names) || Object.hasOwn(names, claim);
}

function own(claims: IdentityClaims['claims'], claim: string): unknown {
  return Object.hasOwn(claims, claim) ? claims[claim] : undefined;
}

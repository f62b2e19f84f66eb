// What a bearer token is, as far as it says so itself. Pure; nothing of the token is in what is said.

import { parseJson } from '../../shared/json.ts';
import { numericDate, type Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';

export interface TokenKind {
  readonly kind: 'service_account' | 'jwt' | 'opaque';
  /** Of a ServiceAccount: `namespace/name`; else which product makes such tokens. */
  readonly of?: string | undefined;
  /** Absent where it says none. */
  readonly exp?: Seconds | undefined;
}

export function kindOfToken(token: string): TokenKind {
  const claims = claimsOf(token);
  if (!claims) return { kind: 'opaque', of: PRODUCTS.find(([pattern]) => pattern.test(token))?.[1] };
  const exp = numericDate(claims.exp, 'down');
  const account = accountOf(claims);
  if (account !== undefined) return { kind: 'service_account', of: account, exp };
  return { kind: 'jwt', exp };
}

/** By what their makers put in front, so that a person knows which one it is. */
const PRODUCTS: readonly (readonly [RegExp, string])[] = [
  [/^sha256~/, 'OpenShift'],
  [/^(kubeconfig-|token-)[\w-]+:/, 'Rancher'],
  [/^dop_v1_/, 'DigitalOcean'],
  [/^ya29\./, 'Google'],
  [/^k8s-aws-v1\./, 'Amazon EKS'],
  [/^[a-z0-9]{6}\.[a-z0-9]{16}$/, 'a bootstrap token'],
  [/^K10[0-9a-f]{64}::/, 'K3s'],
  [/^glpat-|^glagent-/, 'GitLab'],
];

/** RFC 7519, unverified: whoever has it can read it. */
function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const [header = '', payload = '', signature, ...more] = token.split('.');
  if (signature === undefined || more.length > 0 || !header.startsWith('eyJ')) return undefined;
  const claims = parseJson(Buffer.from(payload, 'base64url').toString());
  return isObject(claims) ? claims : undefined;
}

/** As Secrets had it before 1.24, and as TokenRequest has it. */
function accountOf(claims: Readonly<Record<string, unknown>>): string | undefined {
  const { sub } = claims;
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(typeof sub === 'string' ? sub : '') ?? [];
  return namespace === undefined ? undefined : `${namespace}/${name}`;
}

/** The names under which secrets go. */
export function isSecretName(name: string): boolean {
  return /(?:^|[-_.])(?:(?:access|auth|bearer|id|refresh|session|api|personal)?[-_]?token|passw(?:or)?d|passphrase|(?:client[-_]?)?secret|(?:secret[-_]?)?access[-_]?key|secret[-_]?key|api[-_]?key|private[-_]?key|key[-_]data)$/i.test(
    name,
  );
}

/** What `kubectl config view` and people put in place of a secret. */
export function isPlaceholder(text: string): boolean {
  return /^(?:REDACTED|DATA\+OMITTED|omitted|\*+|x+|true|false|none|<[^>]*>|\$\{?\w+\}?|\.\.\.|null|~|""|'')?$/i.test(
    text.trim(),
  );
}

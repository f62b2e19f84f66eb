// Single values in settings that are the broker's own: each parser takes anything and gives a typed value, or says what it expected.

import { isIP } from 'node:net';
import { z } from 'zod';
import { sayValue } from '../../serving/config/faults.ts';
import { isPort, leaf, listOf, oneOf, PRINTABLE, textThat, unrepeated } from '../../serving/config/values.ts';
import { parseDuration } from '../../shared/duration.ts';
import {
  CLUSTER_STREAM_KINDS,
  type ClusterStreamKind,
  isClusterStreamKind,
  isStreamKind,
  STREAM_KINDS,
} from '../../shared/gateway_events.ts';
import { faultOfUrl, isLoopback } from '../../shared/origin.ts';
import type { Seconds } from '../../shared/time.ts';
import { inNetwork, isNetwork } from '../net/network.ts';
import { type Condition, parseCondition } from '../rules/condition.ts';

export {
  address,
  duration,
  durationOrOff,
  filePath,
  issuer,
  listenPort,
  name,
  server,
  text,
  upstreamIssuer,
  yesOrNo,
} from '../../serving/config/values.ts';
export { leaf, listOf, oneOf };

const isText = (value: unknown): value is string => typeof value === 'string' && PRINTABLE.test(value);
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

export const skew = leaf<Seconds>('a duration of at most "60s"', (value) => {
  const length = parseDuration(value);
  return length !== undefined && length <= 60 ? length : undefined;
});

export const prefix = textThat('a text, "" for none', (value) => value === '' || PRINTABLE.test(value));
export const token = textThat('a text without spaces', (value) => PRINTABLE.test(value) && !/\s/.test(value));
/** What is there instead may be the secret itself, which must not come back in the error; 32 bytes in hex have 64 characters. */
export const variable = unrepeated('the name of an environment variable', (value) => /^[A-Za-z_]\w{0,59}$/.test(value));

export const ipAddress = textThat('an IP address', (value) => isIP(value) > 0);

/** Whether only this very machine can reach an address. */
export function isLoopbackAddress(value: string): boolean {
  return isLoopback(isIP(value) === 6 ? `[${value}]` : value);
}

export const ports = listOf('a list of different ports from 1 to 65535', isPort, 0);

export const networks = listOf('a list of IP addresses and CIDR blocks', isProxies, 0);

/** From where something comes: never from anywhere. */
export const someNetworks = listOf('a list of at least one IP address or CIDR block', isProxies);

/** An address or a block; not a block of everything, which would let anyone say where a request came from. */
function isProxies(value: unknown): value is string {
  if (typeof value !== 'string' || !isNetwork(value)) return false;
  return !EXTREMES.some((ends) => ends.every((address) => inNetwork(address, value)));
}

/** The first and the last address of each family. */
const EXTREMES = [
  ['0.0.0.0', '255.255.255.255'],
  ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
] as const;

export const groups = listOf('a list of group names, ["*"] for everyone', isText);

export const acrs = listOf('a list of acr values', isText);

/** RFC 1123 label, as Kubernetes names a namespace. */
export const namespace = textThat('the name of a namespace', (value) =>
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(value),
);

/** RFC 1123 subdomain. */
export const serviceAccountName = textThat(
  'the name of a ServiceAccount',
  (value) => value.length <= 253 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(value),
);

/** Of namespaces and of resources with subresource, as RBAC writes them. */
export const namespaces = listOf(
  'a list of namespaces, in which "*" and "?" may stand',
  (value): value is string => typeof value === 'string' && /^[a-z0-9.*?-]{1,63}$/.test(value),
);

export const resources = listOf(
  'a list of resources such as "pods" or "pods/exec", in which "*" and "?" may stand',
  (value): value is string => typeof value === 'string' && /^[a-z0-9.*?-]{1,63}(\/[a-z0-9.*?-]{1,63})?$/.test(value),
);

export const globs = listOf(
  'a list of cluster names, in which "*" and "?" may stand',
  (value): value is string => typeof value === 'string' && /^[a-z0-9.*?-]{1,63}$/.test(value),
);

export const scopes = listOf(
  'a list of scopes such as [openid, email, groups]',
  (value): value is string => typeof value === 'string' && SCOPE.test(value),
);

/** Asymmetric alone: with HS256 whoever knows the client secret, which is not secret, could sign. */
export const SIGNING_ALGS: readonly unknown[] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
];

export const DEFAULT_SIGNING_ALGS: readonly string[] = ['RS256', 'PS256', 'ES256'];

export const algorithms = listOf('a list of asymmetric algorithms such as "RS256"', (value): value is string =>
  SIGNING_ALGS.includes(value),
);

/** Labels as Kubernetes has them: for rules to look at. */
export const labels = leaf<Readonly<Record<string, string>>>('labels such as {env: prod}', (value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const good = Object.entries(value).every(([key, text]) => PRINTABLE.test(key) && typeof text === 'string');
  return good ? (value as Record<string, string>) : undefined;
});

/** A CEL expression that gives true or false; its fault is said in its own words. */
export const condition = z.unknown().transform((value, context): Condition => {
  const parsed = typeof value === 'string' ? parseCondition(value) : undefined;
  if (typeof parsed === 'object') return parsed;
  const got = value === undefined ? 'required: an expression' : `expected an expression, got ${sayValue(value)}`;
  context.issues.push({ code: 'custom', message: parsed ?? got, input: undefined });
  return z.NEVER;
});

export const count = leaf<number>('a whole number from 1 to 1000', (value) =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 1000 ? Number(value) : undefined,
);

/** Each is a process of the database server, which has 100 where nobody raised that. */
export const connections = leaf<number>('a whole number from 2 to 100', (value) =>
  Number.isInteger(value) && Number(value) >= 2 && Number(value) <= 100 ? Number(value) : undefined,
);

export const issuers = listOf(
  'a list of issuers, each an https URL (http only on loopback) without user, query and fragment',
  (value): value is string => typeof value === 'string' && faultOfUrl(value) === undefined,
);

export const servers = listOf(
  'a list of https URLs without user, query and fragment',
  (value): value is string =>
    typeof value === 'string' && faultOfUrl(value) === undefined && value.startsWith('https://'),
);

export const hookUrl = textThat(
  'an https URL (http only on loopback) without user, query and fragment',
  (value) => faultOfUrl(value) === undefined,
);

export const recordedKinds = listOf(
  `a list of ${CLUSTER_STREAM_KINDS.join(', ')}, [] for none`,
  isClusterStreamKind,
  0,
);

export const streamKinds = listOf(`a list of ${STREAM_KINDS.join(', ')}, [] for none`, isStreamKind, 0);

/** Of these there are few, and each is somebody at work in a pod. */
export const RECORDED_KINDS: readonly ClusterStreamKind[] = ['exec', 'attach', 'portforward'];

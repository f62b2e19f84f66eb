// The shape of targets and of their gateway in the configuration file, and their single values.

import { isIP } from 'node:net';
import { z } from 'zod';
import { isPort, leaf, listOf, oneOf, PRINTABLE, textThat } from '../../serving/config/values.ts';
import { TARGET_KINDS } from '../../shared/targets.ts';
import { SSH_PERMITS, type SshPermit, type TargetAddress } from './target_settings.ts';
import * as value from './values.ts';

/** Without what would be a path of its own: `wss://HOST[:PORT]`, with or without a slash at its end. */
const WSS = /^wss:\/\/(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[1-9][0-9]{0,4})?\/?$/;

const gatewayUrl = leaf<string>('a wss URL of a host, such as "wss://gateway.example.com"', (given) => {
  if (typeof given !== 'string' || !WSS.test(given) || !URL.canParse(given)) return undefined;
  return given.replace(/\/$/, '');
});

const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

const targetAddress = leaf<TargetAddress>('an address such as "10.0.0.7:22" or "[2001:db8::7]:22"', (given) => {
  if (typeof given !== 'string') return undefined;
  const [, v6, name, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([1-9][0-9]{0,4})$/.exec(given) ?? [];
  const port = Number(digits);
  if (!isPort(port)) return undefined;
  if (v6 !== undefined) return isIP(v6) === 6 ? { host: v6.toLowerCase(), port } : undefined;
  return name !== undefined && HOST.test(name) ? { host: name.toLowerCase(), port } : undefined;
});

/** The type that the key itself says it is, and nothing behind it. */
const hostKey = textThat('a host key as in known_hosts, such as "ssh-ed25519 AAAA..."', (given) => {
  const [, type, blob = ''] =
    /^(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) ([A-Za-z0-9+/]{50,2000}={0,2})$/.exec(given) ?? [];
  const bytes = Buffer.from(blob, 'base64');
  if (type === undefined || bytes.toString('base64') !== blob) return false;
  return bytes.readUInt32BE(0) === type.length && bytes.subarray(4, 4 + type.length).toString('latin1') === type;
});

/** Of a system, or of a database: nothing in it may end a list, a line or a name. */
const accountName = textThat('the name of an account', (given) => /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$/.test(given));

const permits = listOf(
  `a list of ${SSH_PERMITS.join(', ')}, [] for none`,
  (given): given is SshPermit => SSH_PERMITS.some((permit) => permit === given),
  0,
);

/** As PostgreSQL takes them: 63 bytes. */
const databases = listOf(
  'a list of names of databases',
  (given): given is string => typeof given === 'string' && PRINTABLE.test(given) && Buffer.byteLength(given) <= 63,
);

export const target_gateway = z.strictObject({
  public_url: gatewayUrl,
  ca_file: value.filePath.optional(),
  token_file: value.filePath,
  source_addresses: value.someNetworks,
});

const account = z.strictObject({ account: accountName, groups: value.groups });

/** Flat, as each kind has some of these: which, is a matter of `target_consistency.ts`. */
export const target = z.strictObject({
  name: value.name,
  kind: oneOf(...TARGET_KINDS),
  audience: value.token.optional(),
  address: targetAddress,
  allowed_groups: value.groups,
  host_key: hostKey.optional(),
  accounts: z.array(account).min(1, { error: 'expected at least one' }).optional(),
  permit: permits.optional(),
  admin_url_file: value.filePath.optional(),
  ca_file: value.filePath.optional(),
  databases: databases.optional(),
});

export const targetGlobs = listOf(
  'a list of names of targets, in which "*" and "?" may stand',
  (given): given is string => typeof given === 'string' && /^[a-z0-9.*?-]{1,63}$/.test(given),
);

export const accountGlobs = listOf(
  'a list of names of accounts, in which "*" and "?" may stand',
  (given): given is string => typeof given === 'string' && /^[A-Za-z0-9_.@*?-]{1,63}$/.test(given),
);

// Where the database is, from the one text that an administrator gives: `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE`. What
// the driver would take in silence, such as `sslmode` or `target_session_attrs`, is refused by name.

import { createSecretKey, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';

export interface Host {
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
}

export interface DatabaseAddress {
  /** Of these whichever takes writes. */
  readonly hosts: readonly Host[];
  readonly user: string;
  /** Prints as nothing. */
  readonly password?: KeyObject | undefined;
  readonly database: string;
}

const PORT = 5432;

/** @param name of the setting or variable, for messages @throws CurfewError `configuration`, never with the text itself */
export function parseDatabaseAddress(text: string, name: string): DatabaseAddress {
  const fault = (what: string) => new CurfewError('configuration', `${name}: ${what}`);
  const match = /^postgres(?:ql)?:\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^/?#]*)\/([^/?#]+)(?:\?([^#]*))?$/.exec(
    text.trim(),
  );
  if (!match) throw fault('expected postgres://USER:PASSWORD@HOST:PORT/DATABASE');
  const [, user = '', password, places = '', database = '', query = ''] = match;
  let socket: string | undefined;
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === 'host' && value.startsWith('/') && places === '') socket = value;
    else if (key === 'sslmode')
      throw fault('sslmode is not taken: the certificate is always verified; give store.postgres.ca_file');
    else throw fault(`the parameter ${/^\w{1,40}$/.test(key) ? key : 'after "?"'} is not taken`);
  }
  if (user === '') throw fault('the user is missing');
  const hosts =
    socket === undefined ? places.split(',').map((place) => hostOf(place, fault)) : [{ host: socket, port: PORT }];
  const plain = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw fault('a "%" is not followed by two hexadecimal digits');
    }
  };
  return {
    hosts,
    user: plain(user),
    database: plain(database),
    ...(password !== undefined && { password: createSecretKey(plain(password), 'utf8') }),
  };
}

function hostOf(place: string, fault: (what: string) => CurfewError): Host {
  const [, v6, name, digits] = /^(?:\[([^\]]+)\]|([^:@[\]]+))(?::(\d{1,5}))?$/.exec(place) ?? [];
  const host = v6 ?? name;
  const port = digits === undefined ? PORT : Number(digits);
  if (host === undefined || port < 1 || port > 65_535) throw fault('a host is not HOST or HOST:PORT');
  if (v6 !== undefined && isIP(v6) !== 6) throw fault('what is in brackets is not an IPv6 address');
  return { host, port };
}

/** Whether what is sent there leaves the machine: then the server's certificate is verified. */
export function leavesMachine({ host }: Host): boolean {
  return !(host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host));
}

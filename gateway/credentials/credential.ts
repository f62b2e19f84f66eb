// Whose request it is, from its headers alone: one function for every path and every protocol.

import { isBearer } from '../../serving/net/bearer.ts';
import { type HeaderList, isConnectionFair, valuesOf } from '../request/headers.ts';
import { badRequest, type Refusal, UNAUTHORIZED } from '../words.ts';

/** A browser's way to carry a token into a WebSocket (k8s.io/apiserver, authentication/request/websocket). */
const PROTOCOL = 'base64url.bearer.authorization.k8s.io.';
const PROTOCOLS = 'sec-websocket-protocol';

export interface Presented {
  /** The bearer token; absent where there is none. */
  readonly token?: string | undefined;
  /** Headers without any credential. */
  readonly headers: HeaderList;
}

/** @returns a refusal for whatever could be read in two ways, and for a credential that is no bearer token */
export function credentialIn(headers: HeaderList): Presented | Refusal {
  if (!isConnectionFair(headers)) return badRequest('Connection names a header');
  const authorizations = valuesOf(headers, 'authorization');
  const protocols = valuesOf(headers, PROTOCOLS).flatMap((value) => value.split(',').map((one) => one.trim()));
  const carried = protocols.filter((protocol) => protocol.startsWith(PROTOCOL));
  if (authorizations.length + carried.length > 1) return badRequest('more than one credential');
  const rest = withoutCredentials(headers, protocols);
  const [authorization] = authorizations;
  const [protocol] = carried;
  if (authorization === undefined && protocol === undefined) return { headers: rest };
  const token = authorization === undefined ? tokenInProtocol(protocol ?? '') : tokenIn(authorization);
  return token === undefined ? UNAUTHORIZED : { token, headers: rest };
}

function tokenIn(authorization: string): string | undefined {
  const [, token = ''] = /^Bearer +(\S+)$/i.exec(authorization.trim()) ?? [];
  return isBearer(token) ? token : undefined;
}

/** In its canonical form alone, and nothing that would be more than a token in a header. */
function tokenInProtocol(protocol: string): string | undefined {
  const encoded = protocol.slice(PROTOCOL.length);
  const bytes = Buffer.from(encoded, 'base64url');
  const token = bytes.toString('latin1');
  return bytes.toString('base64url') === encoded && token === token.trim() && isBearer(token) ? token : undefined;
}

function withoutCredentials(headers: HeaderList, protocols: readonly string[]): HeaderList {
  const kept = protocols.filter((protocol) => protocol !== '' && !protocol.startsWith(PROTOCOL));
  const others = headers.filter(([name]) => name !== 'authorization' && name !== PROTOCOLS);
  return kept.length === 0 ? others : [...others, [PROTOCOLS, kept.join(', ')]];
}

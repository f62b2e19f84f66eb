// What a request for a connection presents, from its bytes alone: one target, one token with the proof that goes with it, and the upgrade
// that is asked for. Whatever two readers could take for different things is refused.

import { isBearer } from '../../serving/net/bearer.ts';
import { CONNECT_PATH, CONNECT_PROTOCOL } from '../../shared/targets.ts';
import { type HeaderList, isConnectionFair, valuesOf } from '../request/headers.ts';
import { badRequest, NO_SUCH_TARGET, type Refusal, UNAUTHORIZED } from '../words.ts';

export interface Presented {
  /** The name in the path. */
  readonly target: string;
  readonly path: string;
  readonly token: string;
  /** As it came. */
  readonly proof: string;
}

export interface ConnectHead {
  readonly method: string;
  /** Path and query, as they came. */
  readonly url: string;
  readonly headers: HeaderList;
}

/** As the broker takes names: nothing in one has a meaning in a path, be it decoded or not. */
const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
/** RFC 6455 4.1: 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/** @returns why nothing more is looked at */
export function presentedIn({ method, url, headers }: ConnectHead): Presented | Refusal {
  const target = url.startsWith(CONNECT_PATH) ? url.slice(CONNECT_PATH.length) : '';
  if (!NAME.test(target)) return NO_SUCH_TARGET;
  const fault = faultOf(method, headers);
  if (fault !== undefined) return badRequest(fault);
  const [authorization, ...others] = valuesOf(headers, 'authorization');
  const [proof, ...proofs] = valuesOf(headers, 'dpop');
  if (others.length > 0 || proofs.length > 0) return badRequest('more than one credential');
  const [, token = ''] = /^DPoP +(\S+)$/i.exec(authorization?.trim() ?? '') ?? [];
  return isBearer(token) && proof !== undefined ? { target, path: url, token, proof } : UNAUTHORIZED;
}

function faultOf(method: string, headers: HeaderList): string | undefined {
  const only = (name: string, is: (value: string) => boolean) => {
    const [value = '', ...more] = valuesOf(headers, name);
    return more.length === 0 && is(value);
  };
  if (!isConnectionFair(headers)) return 'Connection names a header';
  if (method !== 'GET') return 'a connection to a target is asked for with GET';
  if (!only('upgrade', (value) => value.toLowerCase() === 'websocket')) return 'Upgrade: expected websocket';
  if (!only('sec-websocket-version', (value) => value === '13')) return 'Sec-WebSocket-Version: expected 13';
  if (!only('sec-websocket-key', (value) => KEY.test(value))) return 'Sec-WebSocket-Key: expected 16 bytes';
  // One, whole: a token may be hidden in others.
  if (!only('sec-websocket-protocol', (value) => value === CONNECT_PROTOCOL))
    return `Sec-WebSocket-Protocol: expected ${CONNECT_PROTOCOL} alone`;
  const lengths = valuesOf(headers, 'content-length');
  if (valuesOf(headers, 'transfer-encoding').length > 0 || lengths.some((length) => length.trim() !== '0'))
    return 'an upgrade has no body';
  return undefined;
}

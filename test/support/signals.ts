// What an identity provider sends a broker whose clock the test sets: logout tokens and security events, signed by the static
// issuer, over real HTTP. All that can be wrong with them is the test's to say.

import { randomUUID } from 'node:crypto';
import { LOGOUT_EVENT } from '../../broker/audit_log/signals.ts';
import type { TestService } from './service.ts';

type Claims = Readonly<Record<string, unknown>>;

export interface Received {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Claims;
}

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/';
const OAUTH = 'https://schemas.openid.net/secevent/oauth/event-type/';
const RISC_EVENT = /^(account-|identifier-|credential-compromise|opt-|recovery-|sessions-revoked)/;
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/';

/** The `aud` that tests agree on with their transmitter. */
export const AUDIENCE = 'https://curfew.example.com/ssf';

/** A logout token as good as can be; `undefined` in `claims` takes one out. */
export function logoutToken(service: TestService, claims: Claims = {}, header: Claims = {}): string {
  const own = {
    iss: service.issuer.issuer,
    aud: 'curfew',
    iat: service.now,
    exp: service.now + 120,
    jti: randomUUID(),
  };
  return service.issuer.sign({ ...own, events: { [LOGOUT_EVENT]: {} }, ...claims }, { typ: 'logout+jwt', ...header });
}

export function sendLogout(service: TestService, token: string): Promise<Received> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const body = new URLSearchParams({ logout_token: token });
  return send(`${service.url}/backchannel-logout`, { method: 'POST', headers, body });
}

/** `session-revoked` and the like, as URIs. */
export function typeOf(event: string): string {
  if (event.includes(':')) return event;
  if (event === 'tokens-revoked' || event === 'token-revoked') return OAUTH + event;
  if (RISC_EVENT.test(event)) return RISC + event;
  return (['verification', 'stream-updated'].includes(event) ? SSF : CAEP) + event;
}

export interface SetOptions {
  readonly payload?: Claims;
  readonly claims?: Claims;
  readonly header?: Claims;
}

/** A SET of the static issuer, which is a transmitter too, about a subject (RFC 9493). */
export function setOf(
  service: TestService,
  event: string,
  sub_id: unknown,
  { payload = {}, claims = {}, header = {} }: SetOptions = {},
): string {
  const own = { iss: service.issuer.issuer, aud: AUDIENCE, iat: service.now, jti: randomUUID(), sub_id };
  const events = { [typeOf(event)]: { event_timestamp: service.now, ...payload } };
  return service.issuer.sign({ ...own, events, ...claims }, { typ: 'secevent+jwt', ...header });
}

export const person = (service: TestService, sub: string) => ({ format: 'iss_sub', iss: service.issuer.issuer, sub });

/** RFC 8935. @param bearer the transmitter's token, unless the test wants another */
export function pushSet(
  service: TestService,
  set: string,
  bearer: string | undefined = service.webhook_tokens['prod-eu'],
  type = 'application/secevent+jwt',
): Promise<Received> {
  const headers = { 'content-type': type, ...(bearer !== '' && { authorization: `Bearer ${bearer}` }) };
  return send(`${service.url}/ssf/events`, { method: 'POST', headers, body: set });
}

/** The configuration under which `setOf` and `pushSet` are heard. */
export function listening(service: TestService, more: Claims = {}): Claims {
  const { issuer } = service.issuer;
  const transmitter = { issuer, audience: AUDIENCE, issuers: [issuer], jwks_uri: `${issuer}/jwks` };
  return { ssf: [{ ...transmitter, push: { token_file: 'prod-eu-hook' }, ...more }] };
}

async function send(url: string, init: RequestInit): Promise<Received> {
  const response = await fetch(url, init);
  const text = await response.text();
  const { status, headers } = response;
  return { status, headers, body: text === '' ? {} : (JSON.parse(text) as Claims) };
}

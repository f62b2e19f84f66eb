// What somebody can send who has no session here: with keys and addresses of their own, as many as they like.

import { createHash, randomBytes } from 'node:crypto';
import type { Holder } from './holder.ts';
import { ISSUER, type TestService } from './service.ts';

const FORM = 'application/x-www-form-urlencoded';

interface Kind {
  readonly name: string;
  /** @returns the status that is expected of each, however often it comes */
  readonly statuses: readonly number[];
  send(service: TestService, holder: Holder, address: string): Promise<{ readonly status: number }>;
}

const madeUp = () => randomBytes(32).toString('base64url');

const form = (
  service: TestService,
  path: string,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>>,
) =>
  drained(
    fetch(service.url + path, {
      method: 'POST',
      headers: { 'content-type': FORM, ...headers },
      body: new URLSearchParams(fields),
    }),
  );

async function drained(response: Promise<Response>): Promise<{ readonly status: number }> {
  const { status, body } = await response;
  await body?.cancel();
  return { status };
}

const renewal = (handle: string) => ({ grant_type: 'refresh_token', refresh_token: handle, audience: 'dev' });

function login(holder: Holder, subject_token: string) {
  return {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    ...{ subject_token_type: 'urn:ietf:params:oauth:token-type:id_token', subject_token, client_id: 'curfew' },
    nonce_random: holder.nonce_random,
  };
}

/** Every request below is refused or says nothing; each has a proof that is good by itself, unless it says otherwise. */
export const KINDS: readonly Kind[] = [
  {
    name: 'renewal of a made-up handle',
    statuses: [400],
    send: (service, holder, address) =>
      form(service, '/token', renewal(madeUp()), { dpop: holder.proof(), 'x-forwarded-for': address }),
  },
  {
    name: 'renewal with the same proof twice',
    statuses: [400],
    async send(service, holder, address) {
      const headers = { dpop: holder.proof(), 'x-forwarded-for': address };
      await form(service, '/token', renewal('x'), headers);
      return form(service, '/token', renewal('x'), headers);
    },
  },
  {
    name: 'renewal without a proof',
    statuses: [400],
    send: (service, _holder, address) => form(service, '/token', renewal(madeUp()), { 'x-forwarded-for': address }),
  },
  {
    name: 'renewal with an ID token that nobody signed',
    statuses: [400],
    send: (service, holder, address) =>
      form(
        service,
        '/token',
        { ...renewal(madeUp()), id_token: unsigned(service, holder) },
        { dpop: holder.proof(), 'x-forwarded-for': address },
      ),
  },
  {
    name: 'login with an ID token that nobody signed',
    statuses: [400, 429],
    send: (service, holder, address) =>
      form(service, '/token', login(holder, unsigned(service, holder)), {
        ...{ dpop: holder.proof(), 'x-forwarded-for': address },
      }),
  },
  {
    name: 'login for another client',
    statuses: [400, 429],
    send: (service, holder, address) =>
      form(
        service,
        '/token',
        { ...login(holder, 'a.b.c'), client_id: madeUp() },
        {
          ...{ dpop: holder.proof(), 'x-forwarded-for': address },
        },
      ),
  },
  {
    name: 'revocation',
    statuses: [200],
    send: (service, holder, address) =>
      form(
        service,
        '/revoke',
        { token: madeUp() },
        {
          ...{ dpop: holder.proof({ url: `${ISSUER}/revoke` }), 'x-forwarded-for': address },
        },
      ),
  },
  {
    name: 'introspection',
    statuses: [200],
    send: (service, holder, address) =>
      form(
        service,
        '/introspect',
        { token: madeUp() },
        {
          ...{ dpop: holder.proof({ url: `${ISSUER}/introspect` }), 'x-forwarded-for': address },
        },
      ),
  },
  {
    name: 'introspection as a cluster',
    statuses: [401],
    send: (service, _holder, address) =>
      form(
        service,
        '/introspect',
        { token: madeUp() },
        {
          ...{ authorization: `Bearer ${madeUp()}`, 'x-forwarded-for': address },
        },
      ),
  },
  {
    name: 'list of sessions',
    statuses: [401],
    send: (service, holder, address) => api(service, holder, address, 'GET', ''),
  },
  {
    name: 'end of a session',
    statuses: [401],
    send: (service, holder, address) => api(service, holder, address, 'DELETE', `/${madeUp().slice(0, 22)}`),
  },
  {
    name: 'logout token',
    statuses: [400],
    send: (service, holder, address) =>
      form(service, '/backchannel-logout', { logout_token: unsigned(service, holder) }, { 'x-forwarded-for': address }),
  },
  {
    name: 'security event',
    statuses: [401],
    send: (service, _holder, address) =>
      drained(
        fetch(`${service.url}/ssf/events`, {
          method: 'POST',
          headers: { 'content-type': 'application/secevent+jwt', 'x-forwarded-for': address },
          body: madeUp(),
        }),
      ),
  },
  {
    name: 'question of an API server',
    statuses: [401],
    send: (service, _holder, address) =>
      drained(
        fetch(`${service.url}/webhooks/authorize`, {
          method: 'POST',
          headers: {
            ...{ 'content-type': 'application/json', authorization: `Bearer ${madeUp()}`, 'x-forwarded-for': address },
          },
          body: '{}',
        }),
      ),
  },
  {
    name: 'no form',
    statuses: [400],
    send: (service, _holder, address) =>
      drained(
        fetch(`${service.url}/token`, { method: 'POST', headers: { 'x-forwarded-for': address }, body: madeUp() }),
      ),
  },
];

async function api(service: TestService, holder: Holder, address: string, method: 'GET' | 'DELETE', path: string) {
  const handle = madeUp();
  const ath = createHash('sha256').update(handle).digest('base64url');
  const dpop = holder.proof({ method, url: `${ISSUER}/v1/sessions${path}`, claims: { ath } });
  const headers = { authorization: `DPoP ${handle}`, dpop, 'x-forwarded-for': address };
  return drained(fetch(`${service.url}/v1/sessions${path}`, { method, headers }));
}

function unsigned(service: TestService, holder: Holder): string {
  return `${service.issuer.sign(service.claims(holder)).slice(0, -6)}AAAAAA`;
}

/** Of one network after the other: IPv4, and IPv6 of which each has a /64 of its own. */
export function addressOf(i: number): string {
  const [high, low] = [Math.floor(i / 65_536) % 65_536, i % 65_536];
  return i % 2 === 0
    ? `2001:db8:${high.toString(16)}:${low.toString(16)}::1`
    : `100.${64 + (high % 64)}.${low >> 8}.${low & 255}`;
}

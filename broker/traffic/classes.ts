// What a request is worth while there are too many: an end comes before whatever asks whether somebody may continue, that before
// whoever continues, that before whoever begins, and all of them before what cannot be told.

/** The most important first. */
export const REQUEST_CLASSES = ['end', 'judgement', 'renewal', 'login', 'other'] as const;

export type RequestClass = (typeof REQUEST_CLASSES)[number];

/** Why a request is not looked at. */
export const SENT_AWAY = ['busy', 'too_many_requests'] as const;

export type SentAway = (typeof SENT_AWAY)[number];

/** `token` is a renewal or a login: its body says which. `free` is never sent away: who looks after the broker has to see it, and gateways have to know of ends. */
export type RouteClass = RequestClass | 'token' | 'free';

/** A feed of ends is under way for as long as its gateway is. */
const FREE: readonly string[] = ['/healthz', '/readyz', '/v1/gateway/ends'];
/** What API servers and gateways need to know whom to let in. */
const PUBLIC: readonly string[] = ['/.well-known/openid-configuration', '/jwks', '/.well-known/curfew'];
const ENDS: readonly string[] = ['/revoke', '/backchannel-logout', '/ssf/events'];

/**
 * @param method of the request @param route as the router has it, without the issuer's own path; none where nothing is there
 * @param with_token whether it shows a bearer token, as clusters and gateways do
 */
export function classOfRoute(method: string, route: string | undefined, with_token: boolean): RouteClass {
  if (route === undefined) return 'other';
  if (FREE.includes(route)) return 'free';
  if (ENDS.includes(route) || (method === 'DELETE' && route.startsWith('/v1/sessions'))) return 'end';
  if (PUBLIC.includes(route) || route.startsWith('/webhooks/') || route.startsWith('/v1/gateway/')) return 'judgement';
  if (route === '/introspect') return with_token ? 'judgement' : 'renewal';
  if (route === '/token') return with_token ? 'judgement' : 'token';
  return 'renewal';
}

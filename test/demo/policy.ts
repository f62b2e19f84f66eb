// A policy short enough to watch.

export const MAX_AGE = 60;
/** The API server asks the broker about each request, so that an end takes effect with the next one. */
export const DEMO_PLANES = [{ name: 'dev', webhook: { on_failure: 'deny' } }] as const;
export const DEMO_SECTIONS = { admins: { groups: ['security'], limits: { max_age: '60s' } } };
export const DEMO_POLICY = { limits: { max_age: '60s', inactivity_timeout: '60s', token_ttl: '20s' }, segments: [] };

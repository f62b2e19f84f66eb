// A policy short enough to watch.

export const MAX_AGE = 60;
export const DEMO_POLICY = { limits: { max_age: '60s', inactivity_timeout: '60s', token_ttl: '20s' }, segments: [] };

// OAuth2 Proxy: a login of browsers in front of an application, with a clock of its own.

import type { Switch, Timing } from '../setting.ts';

const VERSIONS = '7';
const flag = (name: string, key: string) => ({ in: 'flag', program: 'oauth2-proxy', name: `--${name}`, key }) as const;

export const LOGIN_TIMINGS: readonly Timing[] = [
  {
    layer: 'oauth2-proxy',
    place: flag('cookie-expire', 'cookie_expire'),
    unit: 'go_duration',
    default: '168h',
    zero: 'browser_session',
    absent: 'default',
    bounds: 'age',
    of: ['login'],
    versions: VERSIONS,
    shown: 'ran',
    trap: 'an age only with cookie-refresh=0, counted from the cookie and not from auth_time; with refresh on each one sets the cookie again, so it is an idle limit and there is no absolute one. 0: no end on the server',
  },
  {
    layer: 'oauth2-proxy',
    place: flag('cookie-refresh', 'cookie_refresh'),
    unit: 'go_duration',
    default: '0',
    zero: 'off',
    absent: 'off',
    bounds: 'idle',
    of: ['login'],
    versions: VERSIONS,
    shown: 'ran',
    trap: 'makes an idle limit of cookie-expire, and takes the absolute limit away',
  },
  {
    layer: 'oauth2-proxy',
    place: flag('cookie-csrf-expire', 'cookie_csrf_expire'),
    unit: 'go_duration',
    default: '15m',
    zero: 'browser_session',
    absent: 'default',
    bounds: 'cookie',
    of: ['login'],
    versions: VERSIONS,
    shown: 'not run here',
    trap: 'of a login that is under way',
  },
  {
    layer: 'oauth2-proxy',
    place: flag('upstream-timeout', 'upstream_timeout'),
    unit: 'go_duration',
    default: '30s',
    zero: 'no_limit',
    absent: 'default',
    bounds: 'request',
    of: ['plain'],
    versions: VERSIONS,
    shown: 'not run here',
    trap: 'until the head of the answer; not of a WebSocket',
  },
];

const open = { layer: 'oauth2-proxy', opens: { is: 'present' }, finding: 'auth_bypass', versions: VERSIONS } as const;
export const LOGIN_SWITCHES: readonly Switch[] = [
  {
    ...open,
    place: flag('skip-auth-route', 'skip_auth_routes'),
    shown: 'not run here',
    trap: 'a regular expression over method and path: those that match ask nobody',
  },
  {
    ...open,
    place: flag('skip-auth-regex', 'skip_auth_regex'),
    shown: 'not run here',
    trap: 'the same, by its old name',
  },
  {
    ...open,
    place: flag('trusted-ip', 'trusted_ips'),
    shown: 'not run here',
    trap: 'addresses that ask nobody; behind a proxy that is everybody, or who says so in X-Forwarded-For',
  },
  {
    ...open,
    place: flag('skip-auth-preflight', 'skip_auth_preflight'),
    opens: { is: 'equal', values: ['true'] },
    shown: 'not run here',
    trap: 'every OPTIONS asks nobody',
  },
];

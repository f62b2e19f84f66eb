// OAuth2 Proxy: an absolute limit, which it has only without refresh.

import { timingOf } from '../layers_table/table.ts';
import { writeLength } from '../layers_table/units.ts';
import { headOf } from './head.ts';
import type { RenderInput } from './input.ts';

/** For `--config`, in TOML; its secrets and the identity provider are not ours to say. */
export function renderOAuth2Proxy(input: RenderInput): string {
  const { unit } = timingOf('oauth2-proxy', '--cookie-expire');
  const more = [
    'cookie_refresh is off: with it each refresh sets the cookie again, cookie_expire becomes an idle limit, and there is no absolute one (no_absolute_limit)',
    'cookie_expire counts from the cookie, not from auth_time: ask the identity provider for max_age too',
    `no_revocation: a cookie that somebody copied is taken until it is over. An idle limit would be cookie_expire = "${writeLength(unit, input.limits.inactivity_timeout)}", which then ends those who are active as well`,
  ];
  const lines = [
    ['cookie_expire', writeLength(unit, input.limits.max_age)],
    ['cookie_refresh', '0s'],
    ['cookie_samesite', 'lax'],
  ].map(([key, value]) => `${key} = "${value}"`);
  return `${headOf('oauth2-proxy', input, more)}${[...lines, 'cookie_secure = true', 'cookie_httponly = true'].join('\n')}\n`;
}

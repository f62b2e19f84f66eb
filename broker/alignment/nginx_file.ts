// A configuration of nginx: each place that passes requests on, with the timeouts and the authority that hold there.

import type { WholeLimits } from '../../shared/limits.ts';
import type { Timing } from '../layers_table/setting.ts';
import { timingOf } from '../layers_table/table.ts';
import { type Directive, everyDirective } from '../manifests/nginx_conf.ts';
import type { RawFile } from '../manifests/raw.ts';
import { CUTTER, holdsIdle, isCutter } from './controllers.ts';
import type { Report, Subject } from './finding.ts';
import { effectOf, faultOf } from './lengths.ts';

type NginxFile = Extract<RawFile, { readonly is: 'nginx' }>;
interface Passing {
  readonly pass: Directive;
  /** The blocks around it, outermost first. */
  readonly within: readonly Directive[];
}

const row = (name: string): Timing => timingOf('nginx', name);
const PASSES = ['proxy_pass', 'grpc_pass', 'uwsgi_pass', 'fastcgi_pass'];

export function judgeNginx(
  { directives, cutter }: NginxFile,
  subject: Subject,
  limits: WholeLimits,
  report: Report,
): void {
  const passings = [...everyDirective(directives)].flatMap(({ directive, within }): Passing[] =>
    PASSES.includes(directive.name) ? [{ pass: directive, within }] : [],
  );
  const top = directives.filter(({ block }) => !block);
  const verdicts = new Set(
    [...everyDirective(directives)]
      .filter(({ directive }) => directive.name === 'auth_request')
      .map(({ directive }) => directive.words[0]),
  );
  const told = new Set<string>();
  const once: Report = (name, one, path, detail, route) => {
    const key = JSON.stringify([name, path, detail]);
    if (told.has(key)) return;
    told.add(key);
    report(name, one, path, detail, route);
  };
  const held = holdsIdle(cutter);
  for (const passing of passings) {
    const say = (name: Parameters<Report>[0], line: number, detail: string) =>
      once(name, subject, [line], detail, routeOf(passing));
    const stream = passing.within.some(({ name }) => name === 'stream');
    const names = stream ? ['proxy_timeout'] : ['proxy_read_timeout', 'proxy_send_timeout'];
    for (const name of names) {
      const set = inForce(name, passing.within, top);
      const fault = faultOf(row(name), effectOf(row(name), set ? set.words.join(' ') : undefined), limits);
      if (fault && !(held && fault.name.startsWith('idle_')))
        say(fault.name, set?.line ?? passing.pass.line, fault.detail);
    }
    const location = passing.within.findLast(({ name }) => name === 'location');
    const isVerdict = verdicts.has(location?.words.at(-1)) || has(passing.within, 'internal');
    if (isVerdict) {
      const kept = inForce('proxy_cache_valid', passing.within, top);
      const on = inForce('proxy_cache', passing.within, top);
      if (on && on.words[0] !== 'off') {
        const valid = row('proxy_cache_valid');
        const fault = faultOf(valid, effectOf(valid, kept?.words.at(-1)), limits);
        if (fault) say(fault.name, kept?.line ?? on.line, fault.detail);
      }
      continue;
    }
    if (!isCutter(cutter))
      say('no_age_bound', passing.pass.line, `nothing of nginx ends what is in use, and no ${CUTTER} is named`);
    if (!stream) judgeAuthority(passing, top, say);
  }
}

function judgeAuthority(
  { pass, within }: Passing,
  top: readonly Directive[],
  say: (name: Parameters<Report>[0], line: number, detail: string) => void,
): void {
  const asks = inForce('auth_request', within, top);
  const location = within.findLast(({ name }) => name === 'location');
  const path = location?.words.at(-1) ?? '/';
  if (/^\/(?:oauth2|\.curfew)/.test(path)) return;
  if (!asks) say('auth_missing', location?.line ?? pass.line, 'no auth_request holds here');
  else if (asks.words[0] === 'off') say('auth_missing', asks.line, 'auth_request is off');
  const satisfy = inForce('satisfy', within, top);
  if (asks && satisfy?.words[0] === 'any')
    say('auth_bypass', satisfy.line, 'satisfy any: one of address and login is enough');
}

/** What holds at a place: of the innermost block that says it. */
function inForce(name: string, within: readonly Directive[], top: readonly Directive[]): Directive | undefined {
  for (const { block = [] } of within.toReversed()) {
    const found = block.findLast((one) => one.name === name);
    if (found) return found;
  }
  return top.findLast((one) => one.name === name);
}

function has(within: readonly Directive[], name: string): boolean {
  return within.at(-1)?.block?.some((one) => one.name === name) ?? false;
}

function routeOf({ within }: Passing): string {
  const server = within.findLast(({ name }) => name === 'server');
  const host = server?.block?.find(({ name }) => name === 'server_name')?.words[0] ?? '*';
  return `${host}${within.findLast(({ name }) => name === 'location')?.words.at(-1) ?? ''}`;
}

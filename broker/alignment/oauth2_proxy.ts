// OAuth2 Proxy, wherever it is configured: flags of a container, its environment, its file. AL5: what its two lengths really bound.

import { sayDuration } from '../../shared/duration.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Switch, Timing } from '../layers_table/setting.ts';
import { SWITCHES, TIMINGS } from '../layers_table/table.ts';
import type { KubeObject } from '../manifests/objects.ts';
import type { RawFile } from '../manifests/raw.ts';
import { listAt, type Path, textAt } from '../manifests/values.ts';
import { type Estate, podSpecPath, WORKLOADS } from './estate.ts';
import { type Report, type Subject, subjectOf } from './finding.ts';
import { type Effect, effectOf, faultOf, sayLength } from './lengths.ts';

/** One of them. */
export interface LoginProxy {
  readonly subject: Subject;
  /** Absent where only its file was seen. */
  readonly workload?: KubeObject | undefined;
  readonly namespace: string | undefined;
  /** By the flag without dashes in front: what is written, the last first. */
  readonly settings: ReadonlyMap<string, readonly Written[]>;
}

interface Written {
  readonly value: string;
  readonly path: Path;
  /** Where it is of another object: its file in a ConfigMap. */
  readonly subject?: Subject;
}

/** Named on the workload: what ends a login absolutely where it does not. */
const ABSOLUTE = 'curfew.internal/absolute-limit';

export function loginProxies(estate: Estate): readonly LoginProxy[] {
  const taken = new Set<RawFile>();
  const running = WORKLOADS.flatMap((kind) => estate.all(kind)).flatMap((workload): LoginProxy[] =>
    containersOf(workload).flatMap(({ container, path }): LoginProxy[] => {
      if (!/(?:^|\/)oauth2-proxy(?:[:@]|$)/.test(textAt(container, 'image') ?? '')) return [];
      const settings = new Map<string, Written[]>();
      const config = flagsOf(container, path, settings);
      const files = config === undefined ? [] : filesOf(config, workload, estate);
      for (const file of files) {
        taken.add(file);
        fromFile(file, settings);
      }
      return [{ subject: subjectOf(workload), workload, namespace: workload.namespace, settings }];
    }),
  );
  const alone = estate.files.flatMap((file): LoginProxy[] => {
    if (file.is !== 'oauth2_proxy' || taken.has(file)) return [];
    const settings = new Map<string, Written[]>();
    fromFile(file, settings);
    return [{ subject: { place: file.place, title: file.name }, namespace: undefined, settings }];
  });
  return [...running, ...alone];
}

export function containersOf(workload: KubeObject): readonly { readonly container: unknown; readonly path: Path }[] {
  const spec = podSpecPath(workload);
  return listAt(workload.value, ...spec, 'containers').map((container, i) => ({
    ...{ container, path: [...spec, 'containers', i] },
  }));
}

/** @returns the file that `--config` names */
function flagsOf(container: unknown, path: Path, settings: Map<string, Written[]>): string | undefined {
  let config: string | undefined;
  for (const key of ['command', 'args']) {
    const words = listAt(container, key).map(String);
    for (const [i, word] of words.entries()) {
      const [, name, joined] = /^--?([a-z][a-z0-9-]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
      if (name === undefined) continue;
      const next = words[i + 1];
      const value = joined ?? (next !== undefined && !next.startsWith('-') ? next : 'true');
      if (name === 'config') config = value;
      put(settings, name, { value, path: [...path, key, i] });
    }
  }
  // A flag comes before the environment, and that before the file.
  for (const [i, one] of listAt(container, 'env').entries()) {
    const [, name] = /^OAUTH2_PROXY_([A-Z0-9_]+)$/.exec(textAt(one, 'name') ?? '') ?? [];
    const value = textAt(one, 'value');
    if (name !== undefined && value !== undefined)
      putNew(settings, flagOfKey(name.toLowerCase()), [{ value, path: [...path, 'env', i, 'value'] }]);
  }
  return config;
}

function fromFile({ place, name: title, ...file }: RawFile, settings: Map<string, Written[]>): void {
  if (file.is !== 'oauth2_proxy') return;
  for (const [key, value] of Object.entries(file.value)) {
    const values = Array.isArray(value) ? value : [value];
    const subject = { place, title };
    putNew(
      settings,
      flagOfKey(key),
      values.map((one) => ({ value: String(one), path: [key], subject })),
    );
  }
}

/** Keys of its file, and variables, are plural where a flag is given several times. */
function flagOfKey(key: string): string {
  const row = [...TIMINGS, ...SWITCHES].find(({ place }) => place.in === 'flag' && place.key === key);
  return row?.place.in === 'flag' ? row.place.name.replace(/^--/, '') : key.replaceAll('_', '-');
}

function put(settings: Map<string, Written[]>, name: string, written: Written): void {
  settings.set(name, [...(settings.get(name) ?? []), written]);
}

function putNew(settings: Map<string, Written[]>, name: string, written: readonly Written[]): void {
  if (!settings.has(name)) settings.set(name, [...written]);
}

/** The ConfigMaps in its namespace with a file of that name. */
function filesOf(config: string, workload: KubeObject, estate: Estate): readonly RawFile[] {
  const base = config.split('/').at(-1) ?? '';
  return estate.files.filter(
    (file) => file.is === 'oauth2_proxy' && file.of?.namespace === workload.namespace && file.key === base,
  );
}

type FlagRow<T> = T & { readonly place: Extract<Timing['place'], { readonly in: 'flag' }> };
const OF_OAUTH2 = ({ layer }: Pick<Timing, 'layer'>) => layer === 'oauth2-proxy';

export function judgeLoginProxy(proxy: LoginProxy, limits: WholeLimits, report: Report): void {
  const { settings, subject, workload } = proxy;
  const at = (name: string): Written | undefined => settings.get(name)?.at(-1);
  const say = (name: Parameters<Report>[0], flag: string, detail: string) => {
    const written = at(flag);
    report(name, written?.subject ?? subject, written?.path ?? (workload ? podSpecPath(workload) : []), detail);
  };
  const effects = new Map<string, Effect>();
  for (const row of TIMINGS.filter(OF_OAUTH2) as readonly FlagRow<Timing>[]) {
    const flag = row.place.name.replace(/^--/, '');
    const effect = effectOf(row, at(flag)?.value);
    effects.set(flag, effect);
    if (effect.is === 'misread') say('unit_misread', flag, `${flag}: ${effect.said}`);
    else if (row.bounds === 'cookie') {
      const fault = faultOf(row, effect, limits, flag);
      if (fault) say(fault.name, flag, fault.detail);
    }
  }
  judgeSession(effects, limits, workload?.annotations[ABSOLUTE], say);
  for (const row of SWITCHES.filter(OF_OAUTH2) as readonly FlagRow<Switch>[]) {
    const flag = row.place.name.replace(/^--/, '');
    for (const written of settings.get(flag) ?? [])
      if (row.opens.is === 'present' || (row.opens.is === 'equal' && row.opens.values.includes(written.value)))
        report(row.finding, written.subject ?? subject, written.path, `${flag}: ${row.trap}`);
  }
}

/** AL5. */
function judgeSession(
  effects: ReadonlyMap<string, Effect>,
  limits: WholeLimits,
  absolute: string | undefined,
  say: (name: Parameters<Report>[0], flag: string, detail: string) => void,
): void {
  const [expire, refresh] = [effects.get('cookie-expire'), effects.get('cookie-refresh')];
  const { max_age, inactivity_timeout, token_ttl } = limits;
  if (expire?.is === 'misread' || refresh?.is === 'misread') return;
  const renews = refresh?.is === 'length';
  if (expire?.is !== 'length') {
    say('no_absolute_limit', 'cookie-expire', 'cookie-expire=0: the server ends no login');
    return;
  }
  const by = expire.by_default ? ' by default' : '';
  if (!renews) {
    const detail = `cookie-expire is ${sayLength(expire.ms)}${by}; max_age is ${sayDuration(max_age)}`;
    if (expire.ms > max_age * 1000) say('age_too_long', 'cookie-expire', detail);
    if (expire.ms > token_ttl * 1000)
      say('no_revocation', 'cookie-expire', `nothing takes a login back for ${sayLength(expire.ms)}${by}`);
    return;
  }
  if (refresh.ms > token_ttl * 1000) say('verdict_cached', 'cookie-refresh', sayUnasked(refresh.ms, token_ttl));
  const detail = `cookie-expire is ${sayLength(expire.ms)}${by}, an idle limit with cookie-refresh; inactivity_timeout is ${sayDuration(inactivity_timeout)}`;
  if (expire.ms > inactivity_timeout * 1000) say('idle_too_long', 'cookie-expire', detail);
  if (absolute === undefined)
    say('no_absolute_limit', 'cookie-refresh', 'cookie-refresh is on: each one sets the cookie again');
}

function sayUnasked(ms: number, token_ttl: Seconds): string {
  return `for ${sayLength(ms)} (cookie-refresh) the identity provider is not asked; token_ttl is ${sayDuration(token_ttl)}`;
}

// Configuration files of proxies, told apart by what is in them; a name alone says little.

import { parse as parseToml } from 'smol-toml';
import { isObject } from '../../shared/wire.ts';
import { type Line, readHaproxy, type Section } from './line_files.ts';
import { type Directive, readNginxConf } from './nginx_conf.ts';
import type { KubeObject, Place } from './objects.ts';
import { type Fields, type Path, valueAt } from './values.ts';

/** A file in the terms of its own program; `name` is what people know it by. */
export type RawFile = {
  readonly name: string;
  readonly place: Place;
  /** Of a ConfigMap, and under which key. */
  readonly of?: KubeObject;
  readonly key?: string;
  /** What its comment, or its ConfigMap, names as ending what it cannot end itself. */
  readonly cutter?: string | undefined;
  /** By what its comment says of which limits it was rendered. */
  readonly hash?: { readonly is: string; readonly line: number } | undefined;
} & (
  | { readonly is: 'nginx'; readonly directives: readonly Directive[] }
  | { readonly is: 'haproxy'; readonly sections: readonly Section[] }
  | { readonly is: 'nftables'; readonly lines: readonly Line[] }
  | { readonly is: 'envoy' | 'traefik' | 'oauth2_proxy'; readonly value: Fields }
);

export type RawRead = RawFile | { readonly fault: string; readonly line: number } | undefined;

/**
 * @param name of the file, or of the key of a ConfigMap
 * @param place whose lines count from the first of the text
 * @returns nothing where it is none of these
 */
export function readRaw(name: string, text: string, place: Place): RawRead {
  if (/\.toml$/i.test(name)) return readTomlFile(name, text, place);
  if (isOauth2Proxy(text)) return readTomlFile(name, text, place, 'oauth2_proxy');
  if (
    // Without what ends a directive of nginx, which has `listen` and `server` too.
    /^[ \t]*(?:frontend|backend|listen|defaults)\b[^;{}\n]*$/m.test(text) &&
    /^[ \t]*(?:timeout|bind|server|mode)[ \t][^;{}\n]*$/m.test(text)
  )
    return { is: 'haproxy', name, place, sections: readHaproxy(text) };
  if (/^[ \t]*(?:add[ \t]+)?table[ \t]+(?:inet|ip6?|bridge|netdev|arp)[ \t]+\S+/m.test(text))
    return { is: 'nftables', name, place, lines: linesOf(text) };
  if (/(?:^|[\s{;])(?:server|http|stream|upstream[ \t]+\S+|location[ \t][^{};\n]*)\s*\{/.test(text) && /;/.test(text)) {
    const directives = readNginxConf(text);
    return 'fault' in directives ? directives : { is: 'nginx', name, place, directives };
  }
  return undefined;
}

/** A document of YAML or JSON that is no object of Kubernetes. */
export function readRawValue(name: string, value: unknown, place: Place): RawFile | undefined {
  if (!isObject(value) || 'apiVersion' in value) return undefined;
  if (isObject(value.static_resources) || isObject(value.dynamic_resources)) return { is: 'envoy', name, place, value };
  return isTraefik(value) ? { is: 'traefik', name, place, value } : undefined;
}

function isTraefik(value: Fields): boolean {
  if (isObject(value.entryPoints) || isObject(value.serversTransport)) return true;
  return ['http', 'tcp'].some((of) =>
    ['routers', 'middlewares', 'serversTransports'].some((what) => isObject(valueAt(value, of, what))),
  );
}

/** Keys that no other program has. */
function isOauth2Proxy(text: string): boolean {
  return /^[ \t]*(?:cookie_(?:expire|refresh|secret|secure|domains|name)|oidc_issuer_url|email_domains|skip_auth_routes|provider_display_name)[ \t]*=/m.test(
    text,
  );
}

function readTomlFile(name: string, text: string, place: Place, is?: 'oauth2_proxy'): RawRead {
  let value: Fields;
  try {
    value = parseToml(text) as Fields;
  } catch (error) {
    // The words of the parser quote the text.
    const line = isObject(error) && typeof error.line === 'number' ? error.line : 1;
    return { fault: text.includes('{{') ? 'is a template: render it first' : 'is not TOML', line };
  }
  const lined = { ...place, lineOf: (...path: Path) => place.lineOf() + tomlLine(text, path) - 1 };
  if (is) return { is, name, place: lined, value };
  if (isOauth2Proxy(text)) return { is: 'oauth2_proxy', name, place: lined, value };
  return isTraefik(value) ? { is: 'traefik', name, place: lined, value } : undefined;
}

/** The parser keeps no places: the last key of the path, within the table that is named last before it. */
function tomlLine(text: string, path: Path): number {
  const keys = path.filter((one) => typeof one === 'string');
  const last = keys.at(-1);
  if (last === undefined) return 1;
  const lines = text.split('\n');
  const own = lines.findIndex((line) => new RegExp(`^\\s*"?${literally(last)}"?\\s*=`).test(line));
  const table = lines.findIndex((line) => new RegExp(`^\\s*\\[+[^\\]]*${literally(last)}"?\\s*\\]`).test(line));
  return Math.max(own === -1 ? table : own, 0) + 1;
}

const literally = (text: string) => text.replaceAll(/[^\w-]/g, '\\$&');

function linesOf(text: string): readonly Line[] {
  return text.split('\n').flatMap((raw, i): Line[] => {
    const words = raw.replace(/#.*/, '').match(/[{};]|[^\s{};]+/g) ?? [];
    return words.length === 0 ? [] : [{ words, line: i + 1 }];
  });
}

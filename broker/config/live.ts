// The configuration in force: read again on SIGHUP and when its file changes. A file that cannot be used never replaces a
// good one, and what only a start can change is refused by name, so that nobody believes it took effect.

import { isDeepStrictEqual } from 'node:util';
import { CurfewError } from '../../shared/errors.ts';
import type { Config } from './settings.ts';

export type ReloadOutcome =
  | { readonly outcome: 'same' }
  | { readonly outcome: 'reloaded'; readonly config: Config }
  | { readonly outcome: 'refused'; readonly digest: string; readonly faults: readonly string[] };

export interface LiveConfig {
  readonly current: Config;
  /**
   * What comes of the file as it is now; changes nothing yet.
   *
   * @param load reads it, or throws CurfewError `configuration`
   */
  judge(load: () => Promise<Config>): Promise<ReloadOutcome>;
  /** Puts another one into force. */
  take(config: Config): void;
}

export function createLiveConfig(first: Config): LiveConfig {
  let current = first;
  return {
    get current() {
      return current;
    },
    take(config) {
      current = config;
    },
    async judge(load) {
      let next: Config;
      try {
        next = await load();
      } catch (error) {
        if (!(error instanceof CurfewError)) throw error;
        return { outcome: 'refused', digest: '', faults: error.message.split('\n').map((line) => line.trim()) };
      }
      const fixed = needsRestart(current, next);
      if (fixed.length > 0) {
        const faults = fixed.map((setting) => `${setting}: takes effect at a restart only`);
        return { outcome: 'refused', digest: next.digest, faults };
      }
      if (current.contents === next.contents) return { outcome: 'same' };
      return { outcome: 'reloaded', config: next };
    },
  };
}

/** Settings that differ and that a running broker cannot take over. */
function needsRestart(a: Config, b: Config): string[] {
  const fixed = ['issuer', 'issuer_ca', 'listen', 'trusted_proxies', 'metrics', 'store'] as const;
  const names = fixed.filter((key) => !isDeepStrictEqual(a[key], b[key])).map(asWritten);
  if (!sharesKey(a, b)) names.push('keys');
  for (const key of Object.keys({ ...a.identity_provider, ...b.identity_provider })) {
    const setting = key as keyof Config['identity_provider'];
    if (setting === 'allowed_groups') continue;
    if (!isDeepStrictEqual(a.identity_provider[setting], b.identity_provider[setting])) {
      names.push(`identity_provider.${asWritten(key)}`);
    }
  }
  return names;
}

/** What one of them seals the other understands: brokers that have not reloaded yet, and this one, read each other's. */
function sharesKey(a: Config, b: Config): boolean {
  const understood = [b.encryption_key, b.other_encryption_key];
  return understood.some(
    (key) => key !== undefined && [a.encryption_key, a.other_encryption_key].some((own) => own?.equals(key)),
  );
}

/** A certificate's content stands here where the setting names its file. */
function asWritten(key: string): string {
  return key === 'ca' || key === 'issuer_ca' ? `${key}_file` : key;
}

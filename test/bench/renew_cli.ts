// A get-token that has to renew (no cached token; one round trip over TLS to the broker) against a cache hit.

import type { Bench } from './figure.ts';
import { compare } from './pairs.ts';
import { inPluginWorld } from './plugin_world.ts';

const PAIRS = 60;

export const renewCli: Bench = {
  figures: [
    {
      name: 'renew.cli_vs_warm',
      unit: 'ratio',
      says: 'get-token that renews at the broker (TLS), whole process, against one with a cached token',
    },
  ],
  run: (settings) =>
    inPluginWorld(settings, async ({ person, getToken }) => {
      const { quick, log } = settings;
      const cold = { ...getToken, empty: person.env.CURFEW_CACHE_DIR ?? '' };
      const name = ['renewing get-token', 'warm get-token'] as const;
      return { 'renew.cli_vs_warm': await compare(cold, getToken, { pairs: quick ? 3 : PAIRS, name, log }) };
    }),
};

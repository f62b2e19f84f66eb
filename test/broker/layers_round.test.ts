// What is rendered, read again by the audit: it finds what the file says of itself and nothing else, and the policy's next change.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RENDERED_LAYERS, RENDERERS, type RenderedLayer } from '../../broker/layers_render/render.ts';
import type { Cutter } from '../../broker/layers_table/layer.ts';
import { policyHash } from '../../broker/layers_table/policy_hash.ts';
import { tableOf } from '../../broker/layers_table/table.ts';
import { seconds } from '../../shared/time.ts';
import { inputOf } from './layers_golden.ts';
import { auditTexts, SCOPE } from './manifest_corpus.ts';

/** What a rendered file still has of findings: what the layer cannot hold, and what an administrator adds (a login). */
const FOUND: Readonly<Record<RenderedLayer, readonly string[]>> = {
  networkpolicy: [],
  'ingress-nginx': ['auth_missing', 'no_age_bound', 'retired_controller'],
  nginx: ['auth_missing', 'no_age_bound'],
  traefik: ['auth_missing', 'no_age_bound'],
  haproxy: ['no_age_bound'],
  'haproxy-ingress': ['auth_missing', 'no_age_bound'],
  envoy: ['auth_missing'],
  'gateway-api': ['auth_missing', 'no_age_bound'],
  istio: [],
  linkerd: [],
  'oauth2-proxy': ['no_revocation'],
  nftables: [],
};
/** Without a length, or with one of plain requests alone, which is no finding by itself. */
const UNTIMED: readonly RenderedLayer[] = ['networkpolicy', 'gateway-api'];

const FILES: Readonly<Partial<Record<RenderedLayer, string>>> = {
  nginx: 'curfew.conf',
  haproxy: 'haproxy.cfg',
  'oauth2-proxy': 'oauth2-proxy.cfg',
  nftables: 'nftables.conf',
};

/** @param tighter as the policy is by then */
function found(layer: RenderedLayer, tighter = false, cutter?: Cutter): string[] {
  const { limits, segment } = inputOf();
  const now = tighter ? { max_age: seconds(60), inactivity_timeout: seconds(30), token_ttl: seconds(10) } : limits;
  const scope = { ...SCOPE, limitsIn: () => now, hashesIn: () => new Set([policyHash(segment, now)]) };
  const findings = auditTexts({ [FILES[layer] ?? `${layer}.yaml`]: RENDERERS[layer](inputOf({ cutter })) }, scope);
  return [...new Set(findings.map(({ name }) => name))].sort();
}

for (const layer of RENDERED_LAYERS) {
  describe(layer, () => {
    test('nothing is found but what it says of itself', () => {
      assert.deepEqual(found(layer), FOUND[layer]);
      if (FOUND[layer].includes('no_age_bound')) assert.notEqual(tableOf(layer).age.hold, 'yes');
    });

    test('with a cutter of the administrator, what goes on is no finding', () => {
      const others = FOUND[layer].filter((name) => name !== 'no_age_bound');
      assert.deepEqual(found(layer, false, 'gateway'), others);
    });

    test('when the policy is tighter than it was rendered, that is found', () => {
      const names = found(layer, true);
      assert.ok(names.includes('drift'), names.join(' '));
      if (!UNTIMED.includes(layer))
        assert.ok(
          names.some((name) => /^(idle|age)_too_long$/.test(name)),
          names.join(' '),
        );
    });
  });
}

// What is rendered for Kubernetes, at a real kube-apiserver with the projects' own schemas: each object is taken by a strict dry run, and
// refused with a length in another layer's unit, or a field that is not there.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseTarget, type RenderInput } from '../../broker/layers_render/input.ts';
import { RENDERERS, type RenderedLayer } from '../../broker/layers_render/render.ts';
import { LONGEST } from '../../shared/duration.ts';
import { seconds } from '../../shared/time.ts';
import { inputOf } from '../broker/layers_golden.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { ensureCrds } from '../support/layers/crds.ts';

const DRY = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'];
const WANTED = /gateway\.networking\.k8s\.io_httproutes|customresourcedefinitions\.gen|kubernetes-crd-definition/;

let plane: ControlPlane;
before(async () => {
  const crds = (await ensureCrds()).filter((file) => WANTED.test(file));
  assert.equal(crds.length, 3);
  plane = await startControlPlane();
  await must(['apply', '--server-side', ...crds.flatMap((file) => ['-f', file])]);
  await must(['wait', '--for=condition=Established', '--timeout=90s', 'crd', '--all']);
  for (const namespace of ['payments', '0']) await must(['create', 'namespace', namespace]);
});
after(() => plane?.stop());

async function must(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await plane.adminKubectl(args, input === undefined ? {} : { input });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** What each layer says, and what in its place the API server must refuse. */
const FAULTS: Readonly<Partial<Record<RenderedLayer, readonly [string, string]>>> = {
  networkpolicy: ['podSelector: {}', 'podSelecter: {}'],
  'ingress-nginx': ['pathType: Prefix', 'pathTipe: Prefix'],
  'haproxy-ingress': ['number: 8080', 'number: "8080s"'],
  'gateway-api': ['request: 28800s', 'request: "28800"'],
  istio: ['maxConnectionDuration: 28800s', 'maxConnectionDuration: "28800"'],
  linkerd: ['targetPort: 8080', 'targetPort: 80800'],
};

describe('a strict dry run', () => {
  for (const [layer, [good, bad]] of Object.entries(FAULTS) as [RenderedLayer, readonly [string, string]][]) {
    test(`takes what is rendered for ${layer}, and refuses ${bad}`, async () => {
      const text = RENDERERS[layer](inputOf());
      const count = text.split(/^apiVersion: /m).length - 1;
      const taken = await must(DRY, text);
      assert.equal(taken.trim().split('\n').length, count, taken);
      assert.match(taken, /serverside-applied \(server dry run\)/);
      assert.ok(text.includes(good), good);
      const refused = await plane.adminKubectl(DRY, { input: text.replace(good, bad) });
      assert.notEqual(refused.code, 0, refused.stdout);
    });

    test(`takes the shortest and the longest lengths, and a name of digits, for ${layer}`, async () => {
      const limits = (length: number): Partial<RenderInput> => ({
        limits: { max_age: seconds(length), inactivity_timeout: seconds(length), token_ttl: seconds(1) },
      });
      await must(DRY, RENDERERS[layer](inputOf(limits(1))));
      const target = parseTarget(
        layer === 'linkerd' || layer.includes('ingress') || layer === 'gateway-api' ? '0/a0:1' : '0/0:1',
      );
      await must(DRY, RENDERERS[layer](inputOf({ ...limits(LONGEST), target, ingress: '0' })));
    });
  }

  test('Traefik: the custom resource refuses readTimeout, which its files have', async () => {
    const transport = (field: string) => `apiVersion: traefik.io/v1alpha1
kind: ServersTransport
metadata: {name: curfew, namespace: payments}
spec: {forwardingTimeouts: {${field}: 900s}}
`;
    await must(DRY, transport('idleConnTimeout'));
    const { code, stderr } = await plane.adminKubectl(DRY, { input: transport('readTimeout') });
    assert.notEqual(code, 0);
    assert.match(stderr, /forwardingTimeouts\.readTimeout/);
  });
});

// The annotations of ingress-nginx as Traefik reads them, from a real kube-apiserver: the rendered Ingress cuts what rests when it says, a
// length with a unit is not taken, and zero is no limit there.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { parseTarget } from '../../broker/layers_render/input.ts';
import { RENDERERS } from '../../broker/layers_render/render.ts';
import { seconds } from '../../shared/time.ts';
import { inputOf } from '../broker/layers_golden.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { freePort, statusAt } from '../support/layers/proxies.ts';
import { assertCutAt, assertOpenAfter, createStage, HOST, type Stage } from '../support/layers/stage.ts';
import { until } from '../support/patience.ts';

const SHORT_S = 2;
const LONG_MS = 8_000;

let plane: ControlPlane;
let stage: Stage;
before(async () => {
  [plane, stage] = await Promise.all([startControlPlane(), createStage()]);
  await must(['create', 'namespace', 'payments']);
  await must(['apply', '-f', '-'], cluster(stage.app.port));
});
afterEach(async () => {
  await must(['delete', 'ingress', '--all', '--namespace', 'payments']);
  await stage.clear();
});
after(async () => {
  stage?.close();
  await plane?.stop();
});

/** The class of the controller, and a Service that leads to the application on this machine. */
const cluster = (port: number) => `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: payments}
spec:
  type: ExternalName
  externalName: localhost
  ports: [{name: http, port: 8080, targetPort: ${port}}]
`;

async function must(args: readonly string[], input?: string): Promise<void> {
  const { code, stderr } = await plane.adminKubectl(args, input === undefined ? {} : { input });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
}

/** Traefik in front of the Ingress, once it leads to the application. @returns its port */
async function start(change: (text: string) => string): Promise<number> {
  const limits = { max_age: seconds(600), inactivity_timeout: seconds(SHORT_S), token_ttl: seconds(1) };
  await must(
    ['apply', '-f', '-'],
    change(RENDERERS['ingress-nginx'](inputOf({ target: parseTarget('payments/orders:8080'), limits }))),
  );
  const { users } = parse(readFileSync(plane.adminKubeconfig, 'utf8')) as { users: { user: { token: string } }[] };
  const port = await freePort();
  const provider = '--providers.kubernetesIngressNGINX';
  const args = [
    provider,
    `${provider}.endpoint=${plane.server}`,
    `${provider}.token=${users[0]?.user.token}`,
    `${provider}.certAuthFilePath=${plane.caFile}`,
    `--entryPoints.web.address=127.0.0.1:${port}`,
    '--log.level=ERROR',
    '--global.checkNewVersion=false',
    '--global.sendAnonymousUsage=false',
  ];
  await stage.run({ layer: 'traefik', args, port, host: HOST });
  await until(async () => (await statusAt(port, HOST)) === 200, 'it does not lead to the application');
  return port;
}

describe('nginx.ingress.kubernetes.io, read by Traefik', () => {
  const written = /(proxy-(?:read|send)-timeout): ".*"/g;

  test('proxy-read-timeout as it is rendered ends a WebSocket that rests, and none that is in use', async () => {
    const port = await start((text) => text);
    const [rests, talks] = [await stage.open(port, 'rest'), await stage.open(port, 'talk')];
    await assertCutAt(rests, SHORT_S * 1000);
    await assertOpenAfter(talks, LONG_MS);
  });

  test('a length with a unit is not taken: the default of a minute holds', async () => {
    const port = await start((text) => text.replace(written, `$1: "${SHORT_S}s"`));
    await assertCutAt(await stage.open(port, 'rest'), 60_000);
  });

  test('zero is no limit, where nginx would end it at once', async () => {
    const port = await start((text) => text.replace(written, '$1: "0"'));
    await assertOpenAfter(await stage.open(port, 'rest'), LONG_MS);
  });
});

// An API server behind kube-apiserver's aggregation: one resource, whose watch tells an event each second.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { ControlPlane } from '../cluster/control_plane.ts';
import type { CertificateAuthority } from './certificates.ts';
import { until } from './patience.ts';

const GROUP = 'things.example.com';
const VERSION = `${GROUP}/v1`;
const RESOURCE = {
  name: 'things',
  singularName: 'thing',
  namespaced: true,
  kind: 'Thing',
  verbs: ['get', 'list', 'watch'],
};
const thing = { kind: 'Thing', apiVersion: VERSION, metadata: { name: 'one', namespace: 'dev', resourceVersion: '1' } };

/** kube-apiserver finds it by a Service, and people may read it. */
const manifests = (port: number) => `
apiVersion: v1
kind: Service
metadata: {name: things, namespace: default}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.${GROUP}}
spec:
  group: ${GROUP}
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: things, namespace: default, port: ${port}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: things}
rules: [{apiGroups: [${GROUP}], resources: [things], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: things}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: things}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: curfew:sre}]
`;

export async function startAggregatedApi(authority: CertificateAuthority, plane: ControlPlane) {
  const { certFile, keyFile } = await authority.issue({ name: 'things', hosts: ['localhost', '127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const server = createServer({ cert, key }, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'https://things');
    response.setHeader('content-type', 'application/json');
    if (pathname === `/apis/${VERSION}`)
      return void response.end(
        JSON.stringify({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: VERSION, resources: [RESOURCE] }),
      );
    if (!pathname.includes('/things')) return void response.writeHead(404).end('{}');
    if (searchParams.get('watch') !== null && searchParams.get('watch') !== 'false') return watch(response);
    return void response.end(
      JSON.stringify({ kind: 'ThingList', apiVersion: VERSION, metadata: { resourceVersion: '1' }, items: [thing] }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const applied = await plane.adminKubectl(['apply', '-f', '-'], { input: manifests(port) });
  if (applied.code !== 0) throw new Error(`kubectl apply: ${applied.stderr}`);
  await until(
    async () => (await plane.adminKubectl(['-n', 'dev', 'get', `things.${GROUP}`])).code === 0,
    'the aggregated API is not there',
  );
  return {
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function watch(response: ServerResponse): void {
  const tell = () => response.write(`${JSON.stringify({ type: 'MODIFIED', object: thing })}\n`);
  const telling = setInterval(tell, 1_000);
  response.once('close', () => clearInterval(telling));
  tell();
}

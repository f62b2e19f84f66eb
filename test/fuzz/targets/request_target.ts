// What the gateway takes a request for: never for less than the API server does.

import assert from 'node:assert/strict';
import { isUpgradable, targetOf } from '../../../gateway/request/target.ts';
import type { Targets } from '../target.ts';
import { type RequestInfo, requestInfo } from './request_info.ts';

/** Outside of all namespaces for anybody: what is read there tells nothing of one. */
const OPEN = /^\/(?:api|apis|openapi|version|healthz|livez|readyz|\.well-known|openid)(?:\/|$)/;
const STREAMS = ['exec', 'attach', 'portforward', 'proxy'];

type Read = ReturnType<typeof targetOf>;

function checkResource(read: Read, info: RequestInfo): void {
  const { namespace, resource } = read.within;
  const whole = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`;
  assert.ok(resource === '*' || resource === whole, `another resource than ${JSON.stringify(whole)}`);
  if (info.namespace !== '')
    assert.ok(namespace === '*' || namespace === info.namespace, `another namespace than ${info.namespace}`);
  if (isUpgradable(read)) assert.ok([info.subresource, info.verb].includes(read.kind), 'upgraded as something else');
  if (resource === '*') return;
  if (info.verb === 'watch') assert.equal(read.kind, 'watch', 'a watch is taken for something that ends');
  if (STREAMS.includes(info.subresource) && info.verb !== 'watch')
    assert.equal(read.kind, info.subresource, 'a stream without its name');
  if (!['get', 'list', 'watch', 'create'].includes(info.verb) && info.namespace === '')
    assert.equal(namespace, '*', 'a change outside of namespaces that reaches none');
}

export const requestTarget: Targets = {
  target: {
    seeds: [
      ...[
        'GET /api/v1/namespaces/dev/pods',
        'GET /api/v1/namespaces/dev/pods/shell/exec?command=sh',
        'GET /api/v1/nodes',
      ],
      ...['GET /apis/apps/v1/namespaces/dev/deployments/x/scale', 'DELETE /api/v1/namespaces/dev', 'GET /version'],
      ...['GET /api/v1/watch/namespaces/dev/pods', 'GET /api/v1/namespaces/dev/services/https:web:443/proxy/a%20b'],
      ...['GET /api/v1/namespaces/dev/pods?watch=true', 'PUT /api/v1/namespaces/dev/finalize', 'GET /metrics'],
      ...['POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews', 'GET /api/v1/nodes/n1/proxy/run/dev/shell'],
      ...['GET /api/v1/namespaces/dev/pods/shell/log?follow=true', 'GET /api/v1/pods?watch=0&watch=1'],
    ],
    words: [
      'namespaces',
      'pods',
      'exec',
      'proxy',
      'watch',
      'watch=1',
      'watch=0',
      '/api/v1',
      '/apis/apps/v1',
      '%2f',
      '#',
    ],
    run(input) {
      const space = input.indexOf(' ');
      const [method, url] = [input.slice(0, space), input.slice(space + 1)];
      const read = targetOf(method, url, false);
      assert.deepEqual(targetOf(method, url, true).within, { namespace: '*', resource: '*' });
      const info = requestInfo(method, url);
      if (info === undefined) return;
      if (info !== 'path') {
        checkResource(read, info);
        return;
      }
      assert.equal(isUpgradable(read), false, 'a path is upgraded');
      if (read.within.resource === '*' && read.within.namespace === '*') return;
      assert.ok(
        OPEN.test(url.replace(/\?.*$/s, '')) && ['get', 'head'].includes(method.toLowerCase()),
        'a path that reaches nothing',
      );
    },
  },
};

// What of a cluster a request reaches: no way leads around the limits of a namespace or a resource.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EVERY } from '../../shared/policy.ts';
import { isDiscovery, reachOfPath, reachOfResource } from '../../shared/reach.ts';

/** `verb group/resource/subresource namespace name`, with `-` for what is empty. */
function reachOf(line: string) {
  const [verb = '', kind = '', namespace = '-', name = '-'] = line.split(' ');
  const [group = '', resource = '', subresource = ''] = kind.split('/');
  const given = (text: string) => (text === '-' ? '' : text);
  const what = { group: given(group), resource: given(resource), subresource };
  return reachOfResource({ verb, ...what, namespace: given(namespace), name: given(name) });
}

const EVERYTHING = { namespace: EVERY, resource: EVERY };

describe('H11 a request reaches', () => {
  const everything = [
    // a kubelet: its proxy, and what it asks about by itself (fine-grained authorization)
    ...['proxy', 'log', 'stats', 'metrics', 'spec', 'checkpoint', 'configz', 'healthz', 'pods', 'runningpods'].flatMap(
      (subresource) => [`get -/nodes/${subresource} - n1`, `create -/nodes/${subresource} - n1`],
    ),
    'get -/nodes/proxy dev n1',
    'update -/nodes/status - n1',
    // anything at all
    'get -/-',
    'get -/*',
    'list */*',
    'get -/*/scale - x',
    'get -/pods/* - x',
    // in another's name
    'impersonate -/users - bob',
    'impersonate -/serviceaccounts dev default',
    'impersonate:user-info authentication.k8s.io/users - bob',
    'impersonate-on:user-info:list -/pods dev',
  ];
  for (const line of everything) {
    test(`H11 everything: ${line}`, () => assert.deepEqual(reachOf(line), EVERYTHING));
  }

  const all = [
    // over all namespaces at once
    ...['list -/pods', 'watch -/secrets', 'deletecollection -/configmaps', 'list apps/deployments'],
    // of other groups with the name of a resource that lies outside
    ...['get metrics.k8s.io/nodes - n1', 'list example.com/namespaces', 'get rbac.example.com/clusterroles - x'],
    ...['list k8s.io/csidrivers.storage', 'get /csidrivers.storage.k8s.io - x'],
    // custom resources and aggregated APIs
    ...['list example.com/widgets', 'get custom.metrics.k8s.io/metrics - x', 'create subresources.example.com/console'],
    // volumes are the data of namespaces
    ...['get -/persistentvolumes - pv', 'list -/persistentvolumes', 'get storage.k8s.io/volumeattachments - x'],
    // changes that are felt in all namespaces
    ...['create -/namespaces', 'delete -/nodes - n1', 'patch -/nodes - n1', 'create -/persistentvolumes'],
    'update admissionregistration.k8s.io/mutatingwebhookconfigurations - x',
    'delete admissionregistration.k8s.io/validatingadmissionpolicybindings - curfew',
    'create rbac.authorization.k8s.io/clusterrolebindings',
    ...['escalate rbac.authorization.k8s.io/clusterroles - x', 'bind rbac.authorization.k8s.io/clusterroles - admin'],
    ...['delete apiextensions.k8s.io/customresourcedefinitions - x', 'update apiregistration.k8s.io/apiservices - x'],
    'create certificates.k8s.io/certificatesigningrequests',
    'update certificates.k8s.io/certificatesigningrequests/approval - x',
    ...['approve certificates.k8s.io/signers - x', 'sign certificates.k8s.io/signers - x'],
    // subresources of what is harmless to read, and verbs that nobody knows
    ...['get apiextensions.k8s.io/customresourcedefinitions/status - x', 'use -/namespaces', 'GET -/nodes - n1'],
    'get authorization.k8s.io/subjectaccessreviews - x',
    // what is no name of a namespace
    ...['get custom.metrics.k8s.io/metrics *', 'get example.com/widgets PROD x', 'get example.com/widgets dev,prod x'],
    ...['get example.com/widgets .. x', 'get -/namespaces - *', 'get -/namespaces - PROD', 'get -/namespaces/status'],
  ];
  for (const line of all) {
    test(`H11 all namespaces: ${line}`, () => assert.equal(reachOf(line).namespace, EVERY));
  }

  const one: readonly (readonly [string, string])[] = [
    ['get -/pods/exec dev x', 'dev'],
    ['list -/secrets prod', 'prod'],
    ['get -/services/proxy prod x', 'prod'],
    ['get -/namespaces prod prod', 'prod'],
    ['get -/namespaces - prod', 'prod'],
    ['delete -/namespaces - prod', 'prod'],
    ['update -/namespaces/finalize - prod', 'prod'],
    ['update -/namespaces/status prod prod', 'prod'],
    ['get metrics.k8s.io/pods prod x', 'prod'],
    ['create authorization.k8s.io/localsubjectaccessreviews prod', 'prod'],
  ];
  for (const [line, namespace] of one) {
    test(`H11 the namespace ${namespace}: ${line}`, () => assert.equal(reachOf(line).namespace, namespace));
  }

  const none = [
    ...['list -/nodes', 'get -/nodes - n1', 'watch -/namespaces', 'list -/namespaces'],
    ...['list rbac.authorization.k8s.io/clusterroles', 'get storage.k8s.io/storageclasses - fast'],
    'list apiextensions.k8s.io/customresourcedefinitions',
    ...['create authentication.k8s.io/selfsubjectreviews', 'create authorization.k8s.io/selfsubjectaccessreviews'],
  ];
  for (const line of none) {
    test(`no namespace: ${line}`, () => assert.equal(reachOf(line).namespace, undefined));
  }

  test('H11 whatever is not known to lie outside of namespaces: all of them', () => {
    const text = fc.constantFrom(
      ...['', 'nodes', 'namespaces', 'pods', 'secrets', 'persistentvolumes', 'clusterroles', 'proxy', 'status', '*'],
      ...['rbac.authorization.k8s.io', 'storage.k8s.io', 'example.com', 'storageclasses', 'signers', 'widgets'],
    );
    const verb = fc.constantFrom(
      'get',
      'list',
      'watch',
      'create',
      'update',
      'patch',
      'delete',
      'proxy',
      'escalate',
      '*',
    );
    const known = new Set([
      '/nodes',
      '/namespaces',
      'rbac.authorization.k8s.io/clusterroles',
      'storage.k8s.io/storageclasses',
    ]);
    const attributes = { verb, group: text, resource: text, subresource: text };
    fc.assert(
      fc.property(fc.record({ ...attributes, namespace: fc.constant(''), name: fc.constant('') }), (request) => {
        const reads = ['get', 'list', 'watch'].includes(request.verb) && request.subresource === '';
        if (reads && known.has(`${request.group}/${request.resource}`)) return;
        assert.equal(reachOfResource(request).namespace, EVERY);
      }),
    );
  });
});

describe('H11 a path reaches', () => {
  const everything = [
    '/logs',
    '/logs/',
    '/logs/pods/x',
    '/debug/pprof/heap',
    '/metrics',
    '/configz',
    '/flagz',
    '/statusz',
  ];
  const hidden = [
    '/apis/../logs',
    '/api/../../metrics',
    '/apis//logs',
    '/healthz/../logs',
    '/apis/%2e%2e/logs',
    '/apis/a b',
    '',
  ];
  for (const path of [...everything, ...hidden, '/', '/apiserver', '/*', '/proxy', '/ui', '/api\\..\\logs']) {
    test(`H11 everything: ${path}`, () => {
      assert.deepEqual(reachOfPath(path, 'get'), EVERYTHING);
      assert.equal(isDiscovery(path, 'get'), false);
    });
  }

  test('no namespace where it is discovery or health, and is read', () => {
    const discovery = [
      '/api',
      '/apis',
      '/api/v1',
      '/apis/apps/v1',
      '/apis/apps/v1/',
      '/openapi/v3/apis/apps/v1',
      '/version',
    ];
    for (const path of [...discovery, '/readyz']) {
      assert.deepEqual(reachOfPath(path, 'get'), {});
      assert.equal(isDiscovery(path, 'get'), true, path);
      assert.deepEqual(reachOfPath(path, 'post'), EVERYTHING);
      assert.equal(isDiscovery(path, 'post'), false);
    }
    for (const path of ['/healthz/etcd', '/livez/ping', '/.well-known/openid-configuration', '/openid/v1/jwks']) {
      assert.deepEqual(reachOfPath(path, 'get'), {}, path);
      assert.equal(isDiscovery(path, 'get'), false, path);
    }
  });
});

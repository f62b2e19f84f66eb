// What a request is for, by its path: as kube-apiserver reads it, and whatever could be read in two ways as everything.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isUpgradable, targetOf } from '../../gateway/request/target.ts';

const EVERYTHING = { namespace: '*', resource: '*' };
const within = (url: string, method = 'GET') => targetOf(method, url, false).within;

describe('a path of a resource', () => {
  const cases: readonly (readonly [string, string, object])[] = [
    ['GET', '/api/v1/namespaces/dev/pods', { namespace: 'dev', resource: 'pods' }],
    ['GET', '/api/v1/namespaces/dev/pods/shell/exec?command=sh', { namespace: 'dev', resource: 'pods/exec' }],
    ['GET', '/apis/apps/v1/namespaces/dev/deployments/x/scale', { namespace: 'dev', resource: 'deployments/scale' }],
    ['GET', '/api/v1/pods', { namespace: '*', resource: 'pods' }],
    ['GET', '/api/v1/namespaces', { resource: 'namespaces' }],
    ['GET', '/api/v1/namespaces/dev', { namespace: 'dev', resource: 'namespaces' }],
    ['PUT', '/api/v1/namespaces/dev/finalize', { namespace: 'dev', resource: 'namespaces/finalize' }],
    ['GET', '/api/v1/watch/namespaces/dev/pods', { namespace: 'dev', resource: 'pods' }],
    [
      'GET',
      '/api/v1/namespaces/dev/services/https:web:443/proxy/a%20b',
      { namespace: 'dev', resource: 'services/proxy' },
    ],
    ['GET', '/api/v1/nodes', { resource: 'nodes' }],
    ['GET', '/api/v1/nodes/n1/proxy/run/dev/shell', EVERYTHING],
    ['POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { resource: 'selfsubjectaccessreviews' }],
  ];
  for (const [method, url, expected] of cases) {
    test(`${method} ${url}`, () => assert.deepEqual(within(url, method), expected));
  }
});

describe('G5 a path that two parsers could read differently reaches everything, and nothing there is upgraded', () => {
  for (const path of [
    '/api/v1/namespaces/dev%2fpods',
    '/api/v1/namespaces/%64ev/pods/shell/exec',
    '/api/v1/namespaces/dev//pods/shell/exec',
    '/api/v1/namespaces/dev/pods/../secrets',
    '/api/v1/namespaces/dev/pods/shell/proxy/../../../prod/pods/shell/exec',
    '/api/v1/namespaces/dev/pods/shell/proxy/%2e%2e/%2e%2e/x',
    '/api/v1/namespaces/dev/pods/shell/proxy/..%2fx',
    '/api/v1/namespaces/dev/pods/shell/./exec',
    '/api/v1/namespaces/dev\\pods/shell/exec',
    '//api/v1/namespaces/dev/pods/shell/exec',
    '/api/v1/namespaces/dev;x/pods/shell/exec',
    '/api/v1/namespaces/dev#/pods/shell/exec',
    '/api/v1/nodes/n1#/proxy/run',
    '/version#/x',
    '/API/v1/namespaces/dev/pods/shell/exec',
    '/api/v1%2fnamespaces%2fprod%2fservices%2fweb%2fproxy/nodes/n1',
    '/api/v1%2fnamespaces%2fprod%2fsecrets/nodes',
    '/apis/apps/v1%2fnamespaces%2fprod%2fdeployments/x',
    '/apis/apps%2fv1/x/nodes',
    '/api/v1/namespaces/dev#x/pods/shell/exec',
    '/api/v1/namespaces/dev/pods/shell#/exec',
    '/api/v1/watch/namespaces/dev/pods/shell/ex%65c',
    '/api/v1/watch',
    '/metrics',
    '/logs/',
    `/api/v1/namespaces/dev/${'a'.repeat(257)}`,
    `/api/v1/namespaces/dev/${'a'.repeat(128)}/x/${'b'.repeat(128)}`,
  ]) {
    test(path.slice(0, 80), () => {
      const asked = targetOf('GET', path, false);
      assert.deepEqual(asked.within, EVERYTHING);
      assert.equal(isUpgradable(asked), false);
    });
  }

  test('so does what is to be done in the name of somebody else', () => {
    assert.deepEqual(targetOf('GET', '/api/v1/namespaces/dev/pods', true).within, EVERYTHING);
    assert.deepEqual(targetOf('GET', '/version', true).within, EVERYTHING);
  });
});

describe('what goes on for hours has a name', () => {
  for (const [url, kind] of [
    ['/api/v1/namespaces/dev/pods/shell/exec?command=sh', 'exec'],
    ['/api/v1/namespaces/dev/pods/shell/attach', 'attach'],
    ['/api/v1/namespaces/dev/pods/shell/portforward', 'portforward'],
    ['/api/v1/namespaces/dev/services/web/proxy/', 'proxy'],
    ['/api/v1/namespaces/dev/pods/shell/log?follow=true', 'log'],
    ['/api/v1/namespaces/dev/pods/shell/log', 'request'],
    ['/api/v1/namespaces/dev/pods?watch=true', 'watch'],
    ['/api/v1/namespaces/dev/pods?watch=0', 'request'],
    ['/api/v1/namespaces/dev/pods?x=watch', 'request'],
    ['/apis/metrics.k8s.io/v1/namespaces/dev/pods?watch=1', 'watch'],
  ] as const) {
    test(`${url} is ${kind}`, () => assert.equal(targetOf('GET', url, false).kind, kind));
  }
});

test('what kubectl asks before the request that is meant is not a use; all else is', () => {
  const isUse = (url: string, method = 'GET') => targetOf(method, url, false).is_use;
  for (const path of ['/api', '/apis', '/apis/apps/v1', '/openapi/v3', '/version?timeout=32s', '/livez', '/readyz'])
    assert.equal(isUse(path), false, path);
  for (const path of ['/api/v1/namespaces/dev/pods', '/api/v1/nodes', '/metrics', '/logs/x'])
    assert.equal(isUse(path), true, path);
  assert.equal(isUse('/version', 'POST'), true);
});

test('G5 a query with two question marks is read as the API server reads it: the second belongs to the name', () => {
  const kind = (query: string) => targetOf('GET', `/api/v1/namespaces/dev/pods?${query}`, false).kind;
  assert.equal(kind('?watch=0&watch=1'), 'watch');
  assert.equal(kind('?watch=1'), 'request');
  assert.equal(targetOf('GET', '/api/v1/namespaces/dev/pods/shell/log??follow=1', false).kind, 'request');
});

test('G10 a method may have any name: also one that every object has', () => {
  for (const method of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'OPTIONS']) {
    assert.deepEqual(within('/api/v1/namespaces/dev/pods', method), { namespace: 'dev', resource: 'pods' });
    assert.deepEqual(within('/api/v1/nodes', method), { namespace: '*', resource: 'nodes' });
    assert.deepEqual(within('/version', method), EVERYTHING);
  }
});

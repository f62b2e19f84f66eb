// What bindings give to those whom people act as, where it reaches beyond their sessions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bindings } from '../../broker/api_servers/objects.ts';
import { impersonators, strongerBeside } from '../../broker/commands/privileges.ts';

const READERS = { namespace: 'people', name: 'readers' };
const rule = (verbs: string, resources: string, apiGroups = '') => ({
  ...{ verbs: verbs.split(','), resources: resources.split(','), apiGroups: apiGroups.split(',') },
});
const role = (name: string, ...rules: readonly object[]) => ({ metadata: { name }, rules });
const account = (namespace: string, name: string) => ({ kind: 'ServiceAccount', namespace, name });
const group = (name: string) => ({ kind: 'Group', name });
const binding = (role: string, subject: object, namespace?: string) => ({
  metadata: { name: `${role}-bound`, ...(namespace && { namespace }) },
  roleRef: { kind: 'ClusterRole', name: role },
  subjects: [subject],
});

function bindings(
  clusterroles: readonly object[],
  clusterrolebindings: readonly object[],
  rolebindings: readonly object[] = [],
): Bindings {
  return { clusterroles, clusterrolebindings, rolebindings, roles: [] };
}

const readers = account('people', 'readers');

test('T13 who may act as others is named by the binding, however it is spelt', () => {
  for (const given of [
    rule('impersonate', 'serviceaccounts'),
    rule('get,impersonate', 'users,groups'),
    rule('*', '*', '*'),
    rule('impersonate', 'userextras/scopes', 'authentication.k8s.io'),
    rule('impersonate:serviceaccount', 'serviceaccounts', 'authentication.k8s.io'),
  ]) {
    const all = bindings([role('r', given)], [binding('r', readers)]);
    assert.deepEqual(impersonators(all, [READERS]), ['clusterrolebinding r-bound'], JSON.stringify(given));
  }
  for (const subject of [
    { kind: 'User', name: 'system:serviceaccount:people:readers' },
    ...['system:authenticated', 'system:serviceaccounts', 'system:serviceaccounts:people'].map(group),
  ]) {
    const all = bindings([role('r', rule('impersonate', 'users'))], [], [binding('r', subject, 'dev')]);
    assert.deepEqual(impersonators(all, [READERS]), ['rolebinding dev/r-bound']);
  }
});

test('T13 who may not, is not', () => {
  const harmless = [rule('get,list', '*'), rule('impersonate', 'widgets', 'example.com'), rule('*', 'pods')];
  assert.deepEqual(impersonators(bindings([role('r', ...harmless)], [binding('r', readers)]), [READERS]), []);
  for (const subject of [account('people', 'others'), account('dev', 'readers'), group('curfew:dev')]) {
    const all = bindings([role('r', rule('impersonate', 'users'))], [binding('r', subject)]);
    assert.deepEqual(impersonators(all, [READERS]), []);
  }
});

test('T13 ServiceAccounts that may do more are found where pods may be started beside them', () => {
  const roles = [
    role('strong', rule('get,list', 'secrets')),
    role('weak', rule('get', 'configmaps')),
    role('pods', rule('create', 'pods'), rule('get', 'configmaps')),
    role('jobs', rule('create', 'cronjobs', 'batch')),
  ];
  const others = [binding('strong', account('dev', 'ci')), binding('weak', account('dev', 'tiny'))];
  const beside = (more: readonly object[], within: readonly object[] = []) =>
    strongerBeside(bindings(roles, [...others, ...more], within), READERS).map(({ name }) => name);
  assert.deepEqual(beside([]), [], 'no pods');
  assert.deepEqual(beside([binding('pods', readers)]), ['ci']);
  assert.deepEqual(beside([], [binding('pods', readers, 'dev')]), ['ci', 'tiny']);
  assert.deepEqual(beside([], [binding('pods', readers, 'elsewhere')]), []);
  assert.deepEqual(beside([binding('jobs', readers)]), ['ci', 'tiny'], 'it may not read ConfigMaps itself');
  assert.deepEqual(beside([binding('pods', readers), binding('strong', readers)]), [], 'it may do the same');
});

test('lists that are not as they should be are taken as empty', () => {
  const odd = [null, 'x', { roleRef: null }, { metadata: { name: 7 }, subjects: 'x', rules: [null] }];
  assert.deepEqual(
    impersonators({ clusterroles: odd, clusterrolebindings: odd, rolebindings: odd, roles: odd }, [READERS]),
    [],
  );
});

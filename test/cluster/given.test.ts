// A control plane that is on the machine already: taken where it is whole and new enough, and else it is said why not.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { findGiven } from '../demo/given.ts';

/** A folder with programs that say their version. */
function folderWith(programs: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-given-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const [name, version] of Object.entries(programs)) {
    writeFileSync(path.join(folder, name), `#!/bin/sh\necho 'Kubernetes ${version}'\n`, { mode: 0o755 });
  }
  return folder;
}

describe('a control plane that is there', () => {
  const whole = folderWith({ 'kube-apiserver': 'v1.34.0', etcd: '', kubectl: '' });

  it('is the one of KUBEBUILDER_ASSETS, or of PATH', async () => {
    const paths = (folder: string) => ({
      kubeApiserver: `${folder}/kube-apiserver`,
      etcd: `${folder}/etcd`,
      kubectl: `${folder}/kubectl`,
    });
    assert.deepEqual(await findGiven({ KUBEBUILDER_ASSETS: whole, PATH: '/nonexistent' }), paths(whole));
    assert.deepEqual(await findGiven({ PATH: `relative:/nonexistent:${whole}` }), paths(whole));
    const other = folderWith({ 'kube-apiserver': 'v2.0.1', etcd: '', kubectl: '' });
    assert.deepEqual(await findGiven({ KUBEBUILDER_ASSETS: other, PATH: whole }), paths(other));
  });

  it('is none where there is no kube-apiserver; where it was asked for that is said', async () => {
    assert.equal(await findGiven({ PATH: '/nonexistent' }), undefined);
    assert.match(String(await findGiven({ KUBEBUILDER_ASSETS: '/nonexistent', PATH: '' })), /no kube-apiserver in/);
  });

  it('is not used where a part is missing, or it is too old', async () => {
    const part = folderWith({ 'kube-apiserver': 'v1.37.2', etcd: '' });
    assert.match(String(await findGiven({ PATH: part })), /is not used: there is no kubectl beside it$/);
    for (const version of ['v1.33.13', 'v0.99.0', 'nonsense']) {
      const old = folderWith({ 'kube-apiserver': version, etcd: '', kubectl: '' });
      assert.match(String(await findGiven({ PATH: old })), /the demo needs Kubernetes 1\.34 or later$/, version);
    }
  });
});

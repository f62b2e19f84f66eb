// The parts of the tests' control plane and their exact versions. The one place where a version stands is the go.mod
// of each part in modules/: this file reads it, so that what is named here is what gets built.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One Go module of modules/: what it requires, and the programs built from it. */
export type GoModule = {
  readonly name: string;
  readonly folder: string;
  /** Version of the required module, without `v`: `1.37.2`. */
  readonly version: string;
  /** Contents of go.mod, go.sum and sources of its own: what decides, with the toolchain, which program comes out. */
  readonly pins: string;
};

export type Program = {
  readonly name: string;
  readonly module: GoModule;
  /** Go package path of the program. */
  readonly package: string;
  /** Variables set by the linker, as `-X name=value`. */
  readonly variables: readonly string[];
  /** How long a first build takes on two cores, in seconds. */
  readonly usual_seconds: number;
};

const etcd = goModule('etcd', 'go.etcd.io/etcd/server/v3');
const kubernetes = goModule('kubernetes', 'k8s.io/kubernetes');
const kwok = goModule('kwok', 'sigs.k8s.io/kwok');

/** Go release that can build all of them, as in their go.mod. */
export const go_version = '1.26';

export const programs = {
  etcd: { name: 'etcd', module: etcd, package: 'go.etcd.io/etcd/server/v3', variables: [], usual_seconds: 60 },
  kubeApiserver: kubernetesProgram(kubernetes, 'kube-apiserver', 330),
  kubectl: kubernetesProgram(kubernetes, 'kubectl', 40),
  kwok: { name: 'kwok', module: kwok, package: 'sigs.k8s.io/kwok/cmd/kwok', variables: [], usual_seconds: 110 },
} as const satisfies Record<string, Program>;

/** Of our own, around Kubernetes' streaming: a second, once its modules are there. */
export const kubelet: Program = {
  ...{ name: 'kubelet', module: goModule('kubelet', 'k8s.io/cri-streaming'), package: 'curfew.internal/test/kubelet' },
  ...{ variables: [], usual_seconds: 20 },
};

const krewModule = goModule('krew', 'sigs.k8s.io/krew');
const krewProgram = (name: string): Program => ({
  ...{ name, module: krewModule, package: `sigs.k8s.io/krew/cmd/${name}`, variables: [], usual_seconds: 30 },
});

/** Installs plugins, and judges their manifests. For a long form alone. */
export const krew = krewProgram('krew');
export const validateKrewManifest = krewProgram('validate-krew-manifest');

/** For a long form alone: what the other tests need is built without it. 12 minutes of processor. */
export const k9s: Program = {
  ...{ name: 'k9s', module: goModule('k9s', 'github.com/derailed/k9s'), package: 'github.com/derailed/k9s' },
  ...{ variables: [], usual_seconds: 600 },
};

/** A web login as many have one. 3 minutes of processor. */
export const oauth2Proxy: Program = {
  name: 'oauth2-proxy',
  module: goModule('oauth2-proxy', 'github.com/oauth2-proxy/oauth2-proxy/v7'),
  package: 'github.com/oauth2-proxy/oauth2-proxy/v7',
  variables: [],
  usual_seconds: 120,
};

/** Those of earlier versions, for a long form alone. 9 minutes of processor each. */
export const earlier_api_servers: readonly Program[] = ['1.30', '1.33'].map((minor) =>
  kubernetesProgram(goModule(`kubernetes-${minor}`, 'k8s.io/kubernetes'), 'kube-apiserver', 330),
);

function goModule(name: string, requires: string): GoModule {
  const folder = join(import.meta.dirname, 'modules', name);
  const go_mod = readFileSync(join(folder, 'go.mod'), 'utf8');
  const go_sum = readFileSync(join(folder, 'go.sum'), 'utf8');
  const version = go_mod
    .split('\n')
    .map((line) => /^(?:require)?\s*(\S+) v(\S+)/.exec(line))
    .find((line) => line?.[1] === requires)?.[2];
  if (version === undefined) throw new TypeError(`${folder}/go.mod does not require ${requires}`);
  const sources = globSync('*.go', { cwd: folder }).toSorted();
  const pins = [go_mod, go_sum, ...sources.map((file) => readFileSync(join(folder, file), 'utf8'))].join('\n');
  return { name, folder, version, pins };
}

function kubernetesProgram(module: GoModule, name: string, usual_seconds: number): Program {
  const [major = '', minor = ''] = module.version.split('.');
  const version = { gitVersion: `v${module.version}`, gitMajor: major, gitMinor: minor, gitTreeState: 'archive' };
  // As hack/lib/version.sh does: without these, client and server call themselves v0.0.0-master.
  const variables = ['k8s.io/client-go/pkg/version', 'k8s.io/component-base/version'].flatMap((variablesOf) =>
    Object.entries(version).map(([key, value]) => `${variablesOf}.${key}=${value}`),
  );
  return { name, module, package: `k8s.io/kubernetes/cmd/${name}`, variables, usual_seconds };
}

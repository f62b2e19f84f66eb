// A real Kubernetes control plane of a test's own: etcd, kube-apiserver and, if asked for, kwok, on 127.0.0.1. It lives
// as long as the process that started it, and leaves nothing behind.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiServer, startApiServer } from './api_server.ts';
import { emptyAuthenticationConfig, replaceAuthenticationConfig } from './authentication_config.ts';
import { ensureBinaries } from './build.ts';
import { startKubelet } from './kubelet.ts';
import { type KwokOptions, startKwok } from './kwok.ts';
import { superviseProcesses } from './processes.ts';

export type ControlPlaneSettings = {
  /** AuthenticationConfiguration (YAML); without it only the administrator's token works. */
  readonly authenticationConfig?: string;
  /** AuthorizationConfiguration (YAML); without it RBAC decides alone. */
  readonly authorizationConfig?: string;
  /** Path of another kube-apiserver than the tests' own. */
  readonly kubeApiserver?: string;
  /** Further flags of kube-apiserver; they win over ours. */
  readonly extraArgs?: readonly string[];
  /** Where the administrator's kubeconfig goes; without it, into a temporary folder that `stop` removes. */
  readonly dir?: string;
  /** Whether nodes and pods come alive: then `kubectl exec` works too. */
  readonly kwok?: boolean | KwokOptions;
  /** Takes one line at a time while the programs are built, which takes minutes, once. */
  readonly log?: (line: string) => void;
};

export type KubectlResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

export type ControlPlane = {
  /** `https://127.0.0.1:PORT` */
  readonly server: string;
  readonly caFile: string;
  readonly caPem: string;
  /** Kubeconfig file of a user in system:masters. */
  readonly adminKubeconfig: string;
  readonly kubectlPath: string;
  /** Process ids of etcd, kube-apiserver and kwok. */
  readonly pids: readonly number[];
  /** kube-apiserver's log. */
  readonly logFile: string;
  /** Runs kubectl as the administrator; a refusal is a `code`, not an exception. */
  adminKubectl(args: readonly string[], options?: { readonly input?: string }): Promise<KubectlResult>;
  /**
   * Replaces the AuthenticationConfiguration and resolves when kube-apiserver decides by it: after 10 s at best, and
   * only if every issuer in it answers.
   */
  setAuthenticationConfig(yaml: string): Promise<void>;
  /** Kills kube-apiserver, and resolves when another serves in its place. */
  restartApiServer(): Promise<void>;
  stop(): Promise<void>;
};

/** @throws Error with the end of the log of what did not start; nothing is left running then */
export async function startControlPlane(settings: ControlPlaneSettings = {}): Promise<ControlPlane> {
  const parts = ['etcd', 'kubeApiserver', 'kubectl'] as const;
  const built = await ensureBinaries(settings.log, settings.kwok ? undefined : parts);
  const binaries = { ...built, kubeApiserver: settings.kubeApiserver ?? built.kubeApiserver };
  // UNIX sockets lie in it, whose paths may have 107 bytes: never below a checkout.
  const folder = await mkdtemp(join(tmpdir(), 'curfew-'));
  const processes = superviseProcesses();
  processes.removeAtEnd(folder);
  try {
    const authentication_config_file = join(folder, 'authentication.yaml');
    await writeFile(authentication_config_file, settings.authenticationConfig ?? emptyAuthenticationConfig());
    const authorization = await writeAuthorizationConfig(folder, settings.authorizationConfig);
    const extra_args = settings.extraArgs ?? [];
    const files = { folder, authentication_config_file, ...authorization, extra_args };
    const apiServer = await startApiServer(binaries, processes, files);
    const adminKubeconfig = await writeAdminKubeconfig(settings.dir ?? folder, apiServer);
    if (settings.kwok) {
      const { more, kubelet }: KwokOptions = settings.kwok === true ? {} : settings.kwok;
      const node_port = kubelet && (await startKubelet(processes, apiServer, { folder, ...kubelet }));
      await startKwok(binaries, processes, apiServer, { folder, admin_kubeconfig: adminKubeconfig, more, node_port });
    }
    processes.letTestExit();
    const env = { HOME: folder, KUBECONFIG: adminKubeconfig, KUBERC: 'off' };
    return {
      server: apiServer.server,
      caFile: apiServer.ca_file,
      caPem: apiServer.ca_pem,
      adminKubeconfig,
      kubectlPath: binaries.kubectl,
      get pids() {
        return processes.pids();
      },
      logFile: apiServer.log_file,
      adminKubectl: (args, options = {}) => run(binaries.kubectl, args, env, options.input),
      setAuthenticationConfig: (yaml) => replaceAuthenticationConfig(apiServer, authentication_config_file, yaml),
      restartApiServer: () => apiServer.restart(),
      stop: () => processes.end(),
    };
  } catch (error) {
    await processes.end();
    throw error;
  }
}

async function writeAuthorizationConfig(
  folder: string,
  yaml: string | undefined,
): Promise<{ readonly authorization_config_file?: string }> {
  if (yaml === undefined) return {};
  const authorization_config_file = join(folder, 'authorization.yaml');
  await writeFile(authorization_config_file, yaml);
  return { authorization_config_file };
}

async function writeAdminKubeconfig(folder: string, { server, ca_file, admin_token }: ApiServer): Promise<string> {
  const file = join(folder, 'admin.kubeconfig');
  // JSON is YAML; kubectl reads it as such.
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': ca_file } }],
    users: [{ name: 'admin', user: { token: admin_token } }],
    contexts: [{ name: 'admin', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'admin',
  };
  await mkdir(folder, { recursive: true });
  await writeFile(file, `${JSON.stringify(kubeconfig, undefined, 2)}\n`, { mode: 0o600 });
  return file;
}

function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = '',
): Promise<KubectlResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // kubectl may end without having read its input.
    child.stdin.on('error', () => {}).end(input);
    child.once('error', reject).once('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

// curfew-broker: the commands. Clock, environment and streams are made here and passed on.

import { Command } from 'commander';
import { pino } from 'pino';
import { endingSignal, runProgram } from '../serving/program.ts';
import { CurfewError } from '../shared/errors.ts';
import { fromMilliseconds } from '../shared/time.ts';
import { createClusterApis } from './api_servers/apis.ts';
import { printCheckRbac } from './around/rights.ts';
import { printRows } from './audit_log/printed.ts';
import { type AcceptCommand, accept } from './commands/administration_commands.ts';
import { exportAuditLog, tailAuditLog } from './commands/audit_commands.ts';
import { verifyAuditLog } from './commands/audit_verify.ts';
import { addCheck } from './commands/check_command.ts';
import { addKeys } from './commands/keys_command.ts';
import { addLayers } from './commands/layers_command.ts';
import { freeNames } from './commands/name_commands.ts';
import { operator } from './commands/operator.ts';
import { type AuthzOptions, type FreeOptions, several } from './commands/options.ts';
import { addPolicy } from './commands/policy_command.ts';
import { addPrintGateway } from './commands/print_gateway.ts';
import { addPrintOfTargets } from './commands/print_targets.ts';
import { addStoreCopy } from './commands/store_copy_command.ts';
import { loadConfig } from './config/load.ts';
import type { Config } from './config/settings.ts';
import { watchConfig } from './config/watch.ts';
import { printAdmissionPolicy } from './layers/admission_policy.ts';
import { printAuthnConfig } from './layers/authn_config.ts';
import { CERTIFICATE_PATHS, KUBECONFIG_PATH, printAuthzConfig, printWebhookKubeconfig } from './layers/authz_config.ts';
import { printRbac, printServiceAccounts } from './layers/manifests.ts';
import { createFetchJson } from './net/fetch_json.ts';
import about from './package.json' with { type: 'json' };
import { startService } from './serve.ts';
import { createIdentityProvider } from './upstream/identity_provider.ts';

const now = () => fromMilliseconds(Date.now());
const exact = () => Date.now() / 1000;
const stopwatch = () => performance.now() / 1000;
const { env, stdout, stderr } = process;

/** The service's own log goes to stderr; stdout carries the audit log (`serve`) or what was asked for. */
const log = pino({ level: 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));

function upstream({ identity_provider: settings }: Config) {
  return createIdentityProvider({ settings, fetchJson: createFetchJson(settings.ca), now, log });
}

async function serve({ config: file }: { config: string }): Promise<void> {
  // From the first moment on: before there is anything to reload, a hangup must not end the process.
  let wanted = false;
  let onHangup = () => {
    wanted = true;
  };
  process.on('SIGHUP', () => onHangup());
  const config = await loadConfig(file, { env });
  const identityProvider = upstream(config);
  const onAudit = printRows((text) => void stdout.write(text));
  const service = await startService(config, { now, exact, stopwatch, log, identityProvider, onAudit });
  const load = () => loadConfig(file, { env });
  const watch = watchConfig(
    config,
    async () => {
      const outcome = await service.reload(load);
      return outcome.outcome === 'reloaded' ? outcome.config : undefined;
    },
    log,
  );
  onHangup = watch.reload;
  if (wanted) watch.reload();
  log.info({ signal: await endingSignal() }, 'signal received');
  watch.stop();
  await service.stop();
}

async function acceptAll(command: AcceptCommand, file: string): Promise<void> {
  const apis = createClusterApis();
  const { lines, exit } = await accept(command, await loadConfig(file, { env }), { now, by: operator(), apis, log });
  await apis.close();
  printLines(lines);
  process.exitCode = exit;
}

async function free(names: readonly string[], { config: file, all, reason: note }: FreeOptions): Promise<void> {
  if (names.length > 0 === (all === true)) throw new CurfewError('usage', 'give either usernames or --all');
  const wish = all ? ({ all, note } as const) : { names, note };
  printLines(await freeNames(await loadConfig(file, { env }), wish, { now, by: operator() }));
}

interface WebhookOptions extends OfCluster {
  readonly authentication?: true;
  readonly tokenFile?: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
}

interface OfCluster {
  readonly config: string;
  readonly cluster: string;
}

function program(): Command {
  const root = new Command('curfew-broker')
    .description('exchanges OIDC logins for TTL-bound Kubernetes tokens, and ends sessions')
    .version(about.version, '--version', 'print the version')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, outputError: () => undefined });
  root
    .command('serve')
    .description('run the broker')
    .requiredOption('--config <file>', 'its configuration')
    .action(serve);
  addCheck(root, {
    ...{ env, now, exact, elapsed: () => performance.now(), upstream, print: printLines },
    exit: (status) => {
      process.exitCode = status;
    },
  });
  addPrint(root);
  addLayers(root, {
    ...{ env, version: about.version, stdin: () => process.stdin, print: printLines },
    write: (text) => void stdout.write(text),
    exit: (status) => {
      process.exitCode = status;
    },
  });
  const audit = root.command('audit').description('check and read the audit log');
  audit
    .command('verify')
    .description('find rows that were changed, removed, added or reordered')
    .requiredOption('--config <file>', 'the configuration')
    .option('--anchor <lane:seq:hash>', 'rows noted earlier, which must still be there', several)
    .action(async ({ config, anchor }: { config: string; anchor?: readonly string[] }) => {
      const { lines, exit } = await verifyAuditLog(await loadConfig(config, { env }), anchor);
      printLines(lines);
      process.exitCode = exit;
    });
  audit
    .command('tail')
    .description('print the newest rows')
    .requiredOption('--config <file>', 'the configuration')
    .option('--follow', 'continue with those that come')
    .action(async ({ config, follow = false }: { config: string; follow?: boolean }) => {
      await tailAuditLog(await loadConfig(config, { env }), { follow }, printLine);
    });
  audit
    .command('export')
    .description('print all rows, one JSON object a line')
    .requiredOption('--config <file>', 'the configuration')
    .option('--since <time>', 'only from this instant on (RFC 3339), or for the last 24h')
    .action(async ({ config, since }: { config: string; since?: string }) => {
      await exportAuditLog(await loadConfig(config, { env }), { since, now: now() }, printLine);
    });
  for (const [name, what] of [
    ['store', 'say that the store may be used as it is, after it was put back, moved or lost'],
    ['clock', "say that the machine's clock is right, where the store has seen a later time"],
  ] as const) {
    const group = root.command(name).description(`what an administrator does with the ${name}`);
    if (name === 'store')
      addStoreCopy(group, { env, now, stopwatch, say: (line) => void stderr.write(`${line}\n`), print: printLines });
    group
      .command('accept')
      .description(`${what}: everything before now is over`)
      .requiredOption('--config <file>', 'the configuration')
      .action(({ config }: { config: string }) => acceptAll(`${name} accept`, config));
  }
  addKeys(root, {
    ...{ env, now, elapsed: () => performance.now(), print: printLines },
    say: (line) => void stderr.write(`${line}\n`),
    exit: (status) => {
      process.exitCode = status;
    },
  });
  root
    .command('names')
    .description('whose usernames are')
    .command('free')
    .description(
      'take usernames from whoever holds them: their active sessions end, and the next to log in with one has it',
    )
    .argument('[names...]', 'as Kubernetes sees them, or as the identity provider gives them')
    .requiredOption('--config <file>', 'the configuration')
    .option('--all', 'all of them, as after all accounts at the identity provider were made again')
    .option('--reason <text>', 'for the audit log')
    .action(free);
  addPolicy(root, { env, now, print: printLines, exit: exitWith });
  return root;
}

/** What each kind of cluster is set up with. */
function addPrint(root: Command): void {
  const print = root.command('print').description('print what a cluster or a target takes');
  const ofCluster = (name: string, description: string) =>
    print
      .command(name)
      .description(description)
      .requiredOption('--config <file>', 'the configuration')
      .requiredOption('--cluster <name>', "the cluster's name");
  const VERSION = "the API server's version where it is not current, such as 1.33";
  ofCluster('authn-config', 'an AuthenticationConfiguration for one cluster, for --authentication-config')
    .option('--kubernetes <version>', VERSION)
    .action(async ({ config, cluster, kubernetes }: OfCluster & { kubernetes?: string }) => {
      stdout.write(printAuthnConfig(await loadConfig(config, { env }), cluster, kubernetes));
    });
  ofCluster('authz-config', 'an AuthorizationConfiguration for one cluster, for --authorization-config')
    .option(
      '--kubeconfig <path>',
      "where the API server's machine keeps the printed webhook-kubeconfig",
      KUBECONFIG_PATH,
    )
    .option('--kubernetes <version>', VERSION)
    .action(async ({ config, cluster, kubeconfig, kubernetes }: AuthzOptions) => {
      stdout.write(printAuthzConfig(await loadConfig(config, { env }), cluster, kubeconfig, kubernetes));
    });
  ofCluster('webhook-kubeconfig', 'the kubeconfig with which a kube-apiserver reaches the webhook; it holds a secret')
    .option('--authentication', 'for --authentication-token-webhook-config-file instead')
    .option(
      '--token-file <path>',
      "where the API server's machine keeps the webhook's token, which is then not printed",
    )
    .option(
      '--client-certificate <path>',
      "where the API server's machine keeps its certificate, with client_certificate: true",
      CERTIFICATE_PATHS.certificate,
    )
    .option('--client-key <path>', 'and the key of it', CERTIFICATE_PATHS.key)
    .action(async (options: WebhookOptions) => {
      const { config, cluster, authentication, tokenFile, clientCertificate, clientKey } = options;
      const asks = authentication ? 'authentication' : 'authorization';
      stdout.write(
        printWebhookKubeconfig(await loadConfig(config, { env }), cluster, asks, tokenFile, {
          certificate: clientCertificate,
          key: clientKey,
        }),
      );
    });
  const PLAIN = [
    [
      'rbac',
      "the broker's identity in a cluster with credential: service-account, and what it may do there",
      printRbac,
    ],
    ['sa-manifests', 'the namespaces and ServiceAccounts that people act as in such a cluster', printServiceAccounts],
    [
      'admission-policy',
      'admission policies that keep sessions from making credentials that outlive them',
      printAdmissionPolicy,
    ],
  ] as const;
  print
    .command('check-rbac')
    .description('the least that check --kubeconfig must be allowed in a cluster')
    .option('--without-secrets', 'without the right to list Secrets')
    .action(({ withoutSecrets = false }) => void stdout.write(printCheckRbac(!withoutSecrets)));
  addPrintOfTargets(print, { env, now, write: (text) => void stdout.write(text) });
  addPrintGateway(print, env, (text) => void stdout.write(text));
  for (const [name, description, text] of PLAIN)
    ofCluster(name, description).action(async ({ config, cluster }: OfCluster) => {
      stdout.write(text(await loadConfig(config, { env }), cluster));
    });
}

/** Once all is printed. */
function exitWith(status: number): void {
  process.exitCode = status;
}

function printLines(lines: readonly string[]): void {
  stdout.write(lines.map((line) => `${line}\n`).join(''));
}

/** Waits until the line is taken. @returns false once nobody reads any more */
function printLine(line: string): Promise<boolean> {
  return new Promise((resolve) => void stdout.write(`${line}\n`, (error) => resolve(!error)));
}

// A reader of the audit log that went away must not take the service with it: the store has every row.
stdout.on('error', () => undefined);

void runProgram(program());

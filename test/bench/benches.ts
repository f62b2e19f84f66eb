// All benchmarks, in the order in which they run.

import { auditKubeconfig } from './audit_kubeconfig.ts';
import { connectEnds, connectMemory, connectRate } from './connect.ts';
import { connectSsh } from './connect_ssh.ts';
import { endToDenial } from './end_to_denial.ts';
import { endToKnown } from './end_to_known.ts';
import type { Bench } from './figure.ts';
import {
  gatewayBesideBulk,
  gatewayEndToCut,
  gatewayExec,
  gatewayExecMemory,
  gatewaySmall,
  gatewayWatchAloneMemory,
  gatewayWatchMemory,
} from './gateway.ts';
import { gatewayKubectl, gatewayList } from './gateway_kubectl.ts';
import { getTokenWarm } from './get_token.ts';
import { kubectlWarm } from './kubectl.ts';
import { kubectlWebhook } from './kubectl_webhook.ts';
import { layersAudit } from './layers_audit.ts';
import { morning } from './morning.ts';
import { native } from './native.ts';
import { parallel } from './parallel.ts';
import { introspectionBench, keysBench } from './public_and_introspection.ts';
import { releaseSizes } from './release.ts';
import { renewBench } from './renew.ts';
import { renewBackground } from './renew_background.ts';
import { renewCli } from './renew_cli.ts';
import { renewOpen } from './renew_open.ts';
import { renewScale } from './renew_scale.ts';
import { resolveAndDecide } from './resolve_and_decide.ts';
import { serviceAccounts } from './service_accounts.ts';
import { shed } from './shed.ts';
import { setToDenial, signals } from './signals.ts';
import { sshCertificate } from './ssh_certificate.ts';
import { webhookBench } from './webhook.ts';

export const BENCHES: readonly Bench[] = [
  getTokenWarm,
  kubectlWarm,
  native,
  parallel,
  renewBench({ name: 'renew.sqlite.c1', connections: 1 }),
  renewBench({ name: 'renew.sqlite.c8', connections: 8, aim: { at_least: 1500 } }),
  renewBench({ name: 'renew.sqlite.c32', connections: 32 }),
  renewBench({ name: 'renew.sqlite.c8.tls', connections: 8, tls: true }),
  renewScale({ database: 'sqlite', sessions: 100_000, many: '100k', memory: { at_most: 300 } }),
  renewScale({ database: 'sqlite', sessions: 1_000_000, many: '1m', memory: true }),
  renewScale({ database: 'postgres', sessions: 1_000_000, many: '1m' }),
  renewOpen({ database: 'sqlite', rate: { at_least: 2500 }, processor: { at_most: 400 } }),
  renewOpen({ database: 'postgres', rate: { at_least: 1500 }, processor: { at_most: 600 } }),
  renewCli,
  renewBackground,
  auditKubeconfig,
  layersAudit,
  releaseSizes,
  resolveAndDecide,
  sshCertificate,
  webhookBench({ name: 'webhook.c8', database: 'sqlite', per_second: 3000, p99: 10 }),
  webhookBench({ name: 'webhook.postgres', database: 'postgres', per_second: 5000 }),
  kubectlWebhook,
  keysBench,
  introspectionBench,
  morning,
  shed,
  endToDenial,
  endToKnown,
  serviceAccounts,
  signals,
  setToDenial,
  gatewayKubectl,
  gatewaySmall,
  gatewayExec,
  gatewayList,
  gatewayBesideBulk,
  gatewayEndToCut,
  gatewayWatchMemory,
  gatewayWatchAloneMemory,
  gatewayExecMemory,
  connectSsh,
  connectRate,
  connectMemory,
  connectEnds,
];

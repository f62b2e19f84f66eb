// All benchmarks, in the order in which they run.

import { endToDenial } from './end_to_denial.ts';
import type { Bench } from './figure.ts';
import { getTokenWarm } from './get_token.ts';
import { kubectlWarm } from './kubectl.ts';
import { kubectlWebhook } from './kubectl_webhook.ts';
import { native } from './native.ts';
import { parallel } from './parallel.ts';
import { renewBench } from './renew.ts';
import { renewCli } from './renew_cli.ts';
import { renewScale } from './renew_scale.ts';
import { resolveAndDecide } from './resolve_and_decide.ts';
import { serviceAccounts } from './service_accounts.ts';
import { setToDenial, signals } from './signals.ts';
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
  renewScale,
  renewCli,
  resolveAndDecide,
  webhookBench,
  kubectlWebhook,
  endToDenial,
  serviceAccounts,
  signals,
  setToDenial,
];

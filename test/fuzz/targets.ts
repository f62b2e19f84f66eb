// All targets, by name. This is where the bundle with counters begins.

import type { Targets } from './target.ts';
import { addresses } from './targets/addresses.ts';
import { audit } from './targets/audit.ts';
import { configuration } from './targets/configuration.ts';
import { dpop } from './targets/dpop.ts';
import { forms } from './targets/forms.ts';
import { frames } from './targets/frames.ts';
import { jws } from './targets/jws.ts';
import { kubeconfig } from './targets/kubeconfig.ts';
import { peers } from './targets/peers.ts';
import { plugin } from './targets/plugin.ts';
import { requestTarget } from './targets/request_target.ts';
import { signals } from './targets/signals.ts';
import { times } from './targets/times.ts';
import { wireMessages } from './targets/wire.ts';

export const targets: Targets = {
  ...jws,
  ...dpop,
  ...signals,
  ...forms,
  ...plugin,
  ...kubeconfig,
  ...audit,
  ...configuration,
  ...times,
  ...addresses,
  ...requestTarget,
  ...frames,
  ...wireMessages,
  ...peers,
};

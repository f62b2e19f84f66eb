// `npm run demo`: the whole story with real parts on this machine; by hand, played by itself, or with a cluster that is there.

import { parseArgs } from 'node:util';
import { ensureBinaries, useGiven } from '../cluster/build.ts';
import { withExistingCluster } from './existing.ts';
import { findGiven } from './given.ts';
import { byHand } from './hand.ts';
import { play } from './play.ts';
import { say } from './say.ts';

const HELP = `npm run demo                          real kube-apiserver, IdP, broker and plugin, and what to type
npm run demo -- --play                the same, played by itself; exit 0 if all went as it should
npm run demo -- --kubeconfig FILE     with the cluster of FILE's current context, and what to set there
  --context NAME                      another context of FILE
  --issuer https://HOST:PORT          where that cluster reaches the broker (default https://127.0.0.1:8443)
`;

try {
  const { values } = parseArgs({
    options: {
      play: { type: 'boolean' },
      kubeconfig: { type: 'string' },
      context: { type: 'string' },
      issuer: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else {
    const found = await findGiven(process.env);
    if (typeof found === 'string') say(found);
    else if (found) {
      useGiven(found);
      say(`using ${found.kubeApiserver}, ${found.etcd} and ${found.kubectl}`);
    }
    const parts =
      values.kubeconfig === undefined ? (['etcd', 'kubeApiserver', 'kubectl'] as const) : (['kubectl'] as const);
    const binaries = await ensureBinaries(say, parts);
    if (values.kubeconfig !== undefined) {
      const { kubeconfig, context, issuer = 'https://127.0.0.1:8443' } = values;
      await withExistingCluster({ kubeconfig, context, issuer, kubectl: binaries.kubectl });
    } else if (values.play) await play();
    else await byHand();
  }
} catch (error) {
  process.stderr.write(`demo: error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

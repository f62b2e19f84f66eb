// The demo by hand: everything runs, and a few lines say what to type.

import type { Person } from '../support/person.ts';
import { startWorld } from '../support/world.ts';
import { DEMO_PLANES, DEMO_POLICY, DEMO_SECTIONS } from './policy.ts';
import { ended, say } from './say.ts';

export async function byHand(): Promise<void> {
  say('starting: identity provider, curfew-broker, etcd, kube-apiserver');
  const done = ended();
  const world = await startWorld({
    policy: DEMO_POLICY,
    planes: DEMO_PLANES,
    sections: DEMO_SECTIONS,
    log: say,
    withoutNative: say,
  });
  try {
    const person = await world.person('alice');
    say(whatToType(person, world.brokerUrl, world.authority.caFile));
    await done;
    say('\nstopping');
  } finally {
    await world.stop();
  }
}

export function whatToType({ env, browser }: Person, brokerUrl: string, caFile: string): string {
  const variables = ['PATH', 'KUBECONFIG', 'CURFEW_CONFIG_DIR', 'CURFEW_CACHE_DIR'] as const;
  const bin = env.PATH?.split(':')[0] ?? '';
  const exports = variables.map((name) => `  export ${name}=${name === 'PATH' ? `${bin}:$PATH` : env[name]}`);
  return `
The policy: a login is good for 60 s, then kubectl wants a new one.
The identity provider knows alice (password wonderland, may change things), bob (builder, may read), and carol (guardian, of the
security team, may end sessions).

In another terminal:
${exports.join('\n')}
  kubectl curfew setup --broker ${brokerUrl} --ca-file ${caFile}
  kubectl get namespaces          # the first call logs in, in your browser
  kubectl get namespaces          # no login, no delay
  kubectl auth whoami
  kubectl curfew status
  kubectl curfew doctor           # whether all is there that a call needs
  kubectl get namespaces          # after 60 s: says why, logs in again, goes on
  kubectl get namespaces </dev/null | cat   # after 60 s with no terminal: refused, exit status 1
  kubectl curfew sessions list
  kubectl curfew logout

No browser on this machine? This one logs in as alice by itself:
  export BROWSER=${browser.command}

Ctrl-C here stops everything and removes it.`;
}

// A pass for a target; where only a login helps and somebody can be asked, they log in, as a call of kubectl has them do.

import type { Host } from '../host/host.ts';
import type { Client } from '../session/client.ts';
import type { Remembered } from '../warm/entry.ts';
import { isTaken } from '../warm/machine.ts';
import { askForPass, type Pass, type PassRequest, passRefused } from './pass.ts';

/**
 * Who may be asked. `person`: somebody at a terminal, by stdin too. `bystander`: stdin is another's, and somebody sees what we say.
 * `nobody`: while something else has the terminal.
 */
export type Asked = 'person' | 'bystander' | 'nobody';

/** @throws CurfewError; 77 where only a login helps and nobody can be asked */
export async function passOrLogin(client: Client, request: PassRequest, asked: Asked): Promise<Pass> {
  const outcome = await askForPass(client, request);
  if (outcome.pass) return outcome.pass;
  if (!canAsk(client.host, asked)) throw passRefused(client, outcome.refused);
  const { loginThatBrings } = await import('../login/login_for.ts');
  const { targetNamed } = await import('../session/known_targets.ts');
  const { limits } = await targetNamed(client, request.target);
  const acr = limits.target.acr ?? [];
  return await loginThatBrings(client, {
    refuse: (refused) => passRefused(client, refused),
    found: () => undefined,
    ask: async () => {
      const { pass, refused } = await askForPass(client, request);
      return pass ? { granted: pass } : { refused };
    },
    // Without a cluster: what the login brings is the session, which is asked for the rest.
    wish: (why: Remembered) => ({
      acr_values: why.acr_values ?? (acr.length === 0 ? undefined : acr.join(' ')),
      max_age: limits.target.max_age,
      no_paste: asked === 'bystander',
    }),
    brought: () => undefined,
  });
}

function canAsk(host: Pick<Host, 'interactive' | 'terminal'>, asked: Asked): boolean {
  if (asked === 'nobody') return false;
  const { interactive } = host;
  if (isTaken(host.terminal())) return false;
  return asked === 'person' ? interactive : host.terminal() === 'lines';
}

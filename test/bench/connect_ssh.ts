// What the way through the gateway adds to `ssh HOST true`: plain ssh as `setup --ssh` sets it up, against ssh that goes straight to the same host
// with the same certificate, in turn. Whole processes, the certificate there already.

import path from 'node:path';
import { run } from '../../scripts/run.ts';
import { GATEWAY_ADDRESS } from '../support/ssh_client.ts';
import { BASTION, startSshWorld } from '../support/ssh_world.ts';
import type { Bench } from './figure.ts';
import { median } from './statistics.ts';

const NAME = 'connect.ssh';
const ROUNDS = 40;

export const connectSsh: Bench = {
  figures: [
    {
      ...{ name: `${NAME}.vs_direct_ms`, unit: 'ms', aim: { at_most: 75 } },
      says: 'ssh HOST true by way of the gateway, less the same straight to the host, medians',
    },
    { name: `${NAME}.p50_ms`, unit: 'ms', says: 'by way of the gateway, whole process' },
  ],
  async run({ quick, log }) {
    const world = await startSshWorld();
    try {
      const person = await world.loggedIn('alice');
      const direct = ['-o', 'ProxyCommand=none', '-o', 'HostName=127.0.0.1', '-p', `${world.server.port}`];
      const straight = [...direct, '-o', `BindAddress=${GATEWAY_ADDRESS}`];
      const timed = async (...words: readonly string[]) => {
        const { code, ms, stderr } = await run(
          'ssh',
          ['-F', path.join(person.dir, '.ssh/config'), ...words, BASTION, 'true'],
          {
            env: person.env,
          },
        );
        if (code !== 0) throw new Error(`ssh ended with ${code}: ${stderr}`);
        return ms;
      };
      await timed();
      const [through, past]: [number[], number[]] = [[], []];
      for (let i = 0; i < (quick ? 2 : ROUNDS); i++) {
        through.push(await timed());
        past.push(await timed(...straight));
      }
      const values = { [`${NAME}.vs_direct_ms`]: median(through) - median(past), [`${NAME}.p50_ms`]: median(through) };
      log(`through the gateway ${median(through).toFixed(1)} ms, straight ${median(past).toFixed(1)} ms`);
      return values;
    } finally {
      await world.stop();
    }
  },
};

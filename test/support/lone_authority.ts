// What a gateway knows of its broker, without the rest of the gateway: beside a stand-in for the broker.

import { createBroker } from '../../gateway/authority/ask.ts';
import { Authority } from '../../gateway/authority/authority.ts';
import { until } from './patience.ts';
import { type StandInBroker, startStandInBroker } from './stand_in_broker.ts';

const none = () => undefined;

/** For the time of the story, with the clocks of this process. */
export async function withAuthority(
  story: (broker: StandInBroker, authority: Authority) => Promise<void>,
): Promise<void> {
  const stand_in = await startStandInBroker();
  stand_in.beat_ms = 500;
  const broker = createBroker(stand_in.place);
  const authority = new Authority({
    ...{ broker, cluster: 'prod', instance: 'i', elapsed: () => performance.now(), wall: () => Date.now() },
    ...{ log: { info: none, warn: none, error: none }, onEnd: none, onKeyRevoked: none, onLeases: none },
  });
  try {
    await until(() => authority.lost() === undefined, 'the broker stays lost');
    await story(stand_in, authority);
  } finally {
    await authority.stop();
    broker.close();
    await stand_in.stop();
  }
}

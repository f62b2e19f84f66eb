// Clocks and certificates of all that answered: whose clock is off, and which certificate ends soon.

import { sayDuration } from '../../shared/duration.ts';
import { between, over, type Seconds, seconds } from '../../shared/time.ts';
import type { Answer } from './ask.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';

/** Seconds, to either side. A Date header is of whole seconds, and may be of the moment before. */
const MOST_APART = 5;
/** Part of its life: certificates of a day are as usual as such of a year. */
const SOON = 0.1;

export type Heard = readonly (readonly [string, Answer])[];

/** The broker's may be this machine's. */
export const BROKER = 'broker';

/**
 * @param database how far our clock is ahead of the database's, in seconds, where there is one
 * @param behind whether the store has seen a later time than our clock shows
 */
export function compareClocks(heard: Heard, database: number | undefined, behind: boolean): readonly Seen[] {
  const all = [
    ...heard.flatMap(([of, answer]) => {
      const by = apart(answer);
      return by === undefined ? [] : [{ of, by }];
    }),
    ...(database === undefined ? [] : [{ of: 'the database', by: -Math.round(database) }]),
  ];
  const ours = (says: string) => [
    wrong('clock', 'this machine', says, 'set it by NTP: nothing is issued by a clock that is wrong'),
  ];
  // Where the others agree with one another and none with us, it is ours.
  const others = all.filter(({ of }) => of !== BROKER);
  const [first] = others;
  const alike = others.every(({ by }) => Math.abs(by) > MOST_APART && Math.abs(by - (first?.by ?? 0)) <= MOST_APART);
  if (first && others.length > 1 && alike)
    return ours(`${say(-first.by)} that of ${others.length} others, which agree`);
  if (behind) return ours('it shows less than the store has seen; only where it is right: curfew-broker clock accept');
  if (all.length === 0)
    return [unknown('clock', undefined, 'nobody who answers says the time', 'see NTP on each machine')];
  const off = all.filter(({ by }) => Math.abs(by) > MOST_APART);
  if (off.length === 0)
    return [fine('clock', undefined, `${all.length} clocks agree with this machine's, within ${MOST_APART}s`)];
  return off.map(({ of, by }) =>
    wrong(
      'clock',
      of,
      `${say(by)} that of this machine`,
      'set it by NTP: tokens are refused as not valid yet, or end early',
    ),
  );
}

function say(by: number): string {
  return `its clock is ${sayDuration(seconds(Math.abs(by)))} ${by > 0 ? 'ahead of' : 'behind'}`;
}

/** Whether its clock and ours are so far apart that tokens are refused for it. */
export function isOff(answer: Answer): boolean {
  return Math.abs(apart(answer) ?? 0) > MOST_APART;
}

/** An answer that took a while says no more than that its time is between asking and hearing. @returns how far they are ahead of us */
function apart({ asked, heard, date }: Answer): number | undefined {
  if (date === undefined) return undefined;
  if (date > heard) return date - heard;
  return date < asked - 1 ? date - asked : 0;
}

export function lookAtCertificates(heard: Heard, now: Seconds): readonly Seen[] {
  return heard.flatMap(([of, { certificate }]) => {
    if (!certificate) return [];
    const { from, end } = certificate;
    if (over(end, now)) return [wrong('certificate', of, 'is over', RENEW)];
    const left = between(now, end);
    const says = `ends in ${sayDuration(left)}`;
    return [left < SOON * (end - from) ? wrong('certificate', of, says, RENEW) : fine('certificate', of, says)];
  });
}

const RENEW = 'renew it: what presents it reads the file again without a restart, where it is ours';

// Sessions that end one after the other while many others have ssh open and are busy: each end reaches ssh and the host, and nobody else.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../bench/statistics.ts';
import { until } from '../support/patience.ts';
import { type SshStand, type SshVisitor, startSshStand } from '../support/ssh_stand.ts';
import { untilNobody } from '../support/sshd.ts';

const LONG = process.env.CURFEW_LONG === '1';
const ENDS = LONG ? 100 : 6;
const BUSY = LONG ? 20 : 2;
const AT_ONCE = 10;
/** Between two renewals of one who is busy, in milliseconds. */
const RENEWAL_MS = 200;

let stand: SshStand;
before(async () => {
  stand = await startSshStand();
});
after(() => stand.stop());

/** What runs on the host for somebody: it writes without an end, or waits. */
const command = (mark: string, busy: boolean) =>
  `exec sh -c 'echo ready; while :; do ${busy ? 'seq 2000; ' : ''}sleep 1; done' ${mark}`;
const onHost = (mark: string) => stand.server.processes().some((line) => line.endsWith(mark));

async function open(count: number, name: string, busy: boolean) {
  const opened: {
    readonly who: SshVisitor;
    readonly mark: string;
    readonly ssh: Awaited<ReturnType<SshVisitor['ssh']>>;
  }[] = [];
  while (opened.length < count) {
    const begun = Array.from({ length: Math.min(AT_ONCE, count - opened.length) }, async (_, i) => {
      const mark = `${name}-${opened.length + i}`;
      const who = await stand.visitor();
      const ssh = await who.ssh(command(mark, busy));
      await ssh.says(/ready/);
      return { who, mark, ssh };
    });
    opened.push(...(await Promise.all(begun)));
  }
  return opened;
}

test(`K8 of ${ENDS} that end one after the other each is gone on both sides, and ${BUSY} busy others are not`, async (t) => {
  const busy = await open(BUSY, 'busy', true);
  const ending = await open(ENDS, 'ending', false);
  let over = false;
  const renewing = Promise.all(
    busy.map(async ({ who }) => {
      while (!over) {
        await who.renew();
        await sleep(RENEWAL_MS);
      }
    }),
  );
  const times: number[] = [];
  for (const { who, ssh, mark } of ending) {
    const gone = ssh.exit.then(() => performance.now());
    await who.logout();
    const acknowledged = performance.now();
    await until(() => ssh.ended, `${mark}: ssh does not end`);
    times.push(Math.max(0, (await gone) - acknowledged));
    await until(() => !onHost(mark), `${mark} is left on the host`);
  }
  over = true;
  await renewing;
  for (const { ssh, mark } of busy) {
    assert.ok(!ssh.ended && onHost(mark), `${mark} ended too: ${ssh.stderr()}`);
    const before = ssh.stdout().length;
    await until(() => ssh.stdout().length > before, `${mark} stands still`);
  }
  const rows = (event: string) => stand.site.broker.audit().filter((row) => row.event === event);
  await until(() => rows('disconnect').length === ENDS, 'not each end is in the audit log');
  assert.deepEqual(new Set(rows('disconnect').map(({ sid }) => sid)), new Set(ending.map(({ who }) => who.sid)));
  for (const { who } of busy) await who.logout();
  await untilNobody(stand.server);
  const [p50, p99] = [0.5, 0.99].map((q) => quantile(times, q).toFixed(0));
  t.diagnostic(`acknowledged to the exit of ssh, ${ENDS} ends: p50 ${p50} ms, p99 ${p99} ms`);
});

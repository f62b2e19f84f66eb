// H13: an address from which too much comes that is no good waits; others do not, nor does whoever ends a session.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Agent, fetch } from 'undici';
import { FAILURES_A_SECOND, FAILURES_AT_ONCE } from '../../broker/traffic/failing.ts';
import { GRANT } from '../../shared/wire.ts';
import { freePort } from '../cluster/ports.ts';
import { Holder } from '../support/holder.ts';
import { scrape } from '../support/scrape.ts';
import { ISSUER, startTestService, type TestService } from '../support/service.ts';

let service: TestService;
const agents: Agent[] = [];

before(async () => {
  service = await startTestService({ metrics: { address: '127.0.0.1', port: await freePort() } });
});
after(async () => {
  await Promise.all(agents.map((agent) => agent.destroy()));
  await service.stop();
});

/** Requests from an address. @param kept over connections that last; else each has its own */
function from(localAddress: string, kept = false) {
  const dispatcher = new Agent({ localAddress, pipelining: kept ? 1 : 0, keepAliveTimeout: 600_000 });
  agents.push(dispatcher);
  const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
  const holder = () => {
    const made = new Holder({ url: service.url, issuer: ISSUER, send });
    made.now = () => service.now;
    return made;
  };
  const guess = async (handle: string) => {
    const body = new URLSearchParams({ grant_type: GRANT.renewal, refresh_token: handle, audience: 'dev' });
    const answer = await send(`${service.url}/token`, { method: 'POST', body });
    const { reason } = (await answer.json()) as { reason: string };
    return { status: answer.status, reason, retry_after: Number(answer.headers.get('retry-after')) };
  };
  return { holder, guess };
}

test('H13 an address that guesses is sent away for a while; others behind it that are known, others elsewhere, and ends are not', async () => {
  const [noisy, beside, other] = [from('127.0.0.1'), from('127.0.0.1', true), from('127.0.0.2')];
  const known = beside.holder();
  const mine = await service.login(known);
  const ending = noisy.holder();
  const session = await service.login(ending);

  let guesses = 0;
  let answer = await noisy.guess('none');
  for (; answer.status !== 429; guesses += 20) {
    assert.ok(guesses < 60 * FAILURES_AT_ONCE, 'it is never sent away');
    // So that its connection lasts.
    if (guesses % 200 === 0) assert.equal((await known.renew(mine.granted.refresh_token ?? '', 'dev')).status, 200);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => noisy.guess(`guess-${guesses}-${n}`)));
    answer = answers.find(({ status }) => status === 429) ?? answer;
  }
  assert.ok(guesses >= FAILURES_AT_ONCE - 20, `${guesses} guesses`);
  assert.equal(answer.reason, 'too_many_requests');
  assert.ok(answer.retry_after >= 1 && answer.retry_after <= 2, `${answer.retry_after} s`);

  // Time stands still from here on: what is forgiven is so by the clock.
  const instant = service.elapsed;
  service.elapsed = instant;
  for (let n = 0; n < FAILURES_AT_ONCE && (await noisy.guess('more')).status !== 429; n++);
  assert.equal((await noisy.guess('more')).status, 429);
  assert.equal((await noisy.holder().renew(session.granted.refresh_token ?? '', 'dev')).status, 429);

  const stranger = other.holder();
  const theirs = await service.login(stranger);
  assert.equal(theirs.status, 200);
  assert.equal((await stranger.renew(theirs.granted.refresh_token ?? '', 'dev')).status, 200);
  assert.equal((await known.renew(mine.granted.refresh_token ?? '', 'dev')).status, 200);
  assert.equal((await ending.revoke(session.granted.refresh_token ?? '')).status, 200);
  assert.equal(service.audit.filter(({ event }) => event === 'end').length, 1);

  const seen = await scrape(service.metrics_url);
  assert.ok((seen.value('curfew_requests_sent_away_total', { class: 'login', reason: 'too_many_requests' }) ?? 0) >= 2);
  const lines = service.log.filter((line) => line.includes('too many requests from there are no good'));
  assert.equal(lines.length, 1, 'one line, however many they are');
  assert.match(lines[0] ?? '', /"address":"127.0.0.1"/);

  service.elapsed = instant + FAILURES_AT_ONCE / FAILURES_A_SECOND + 2;
  assert.equal((await noisy.guess('later')).status, 400);
});

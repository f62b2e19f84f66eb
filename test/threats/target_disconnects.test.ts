// The end of each connection to a target: one row, whatever its gateway tells and however often, and also where it tells nothing any more. Until
// then it is in the list of sessions, and not for longer.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { isSessionInfo, isSessionList, type SessionInfo } from '../../shared/wire.ts';
import { askLeases, GATEWAY_CLUSTERS, tellEvents } from '../support/gateway.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { DATABASES } from '../support/stores.ts';
import { type Somebody, TargetPeople } from '../support/target_people.ts';
import { TARGETS } from '../support/targets.ts';

const SUM = { seconds: 12, bytes_sent: 34, bytes_received: 5_600_000_000 };

for (const database of DATABASES) {
  describe(`the end of connections to targets, with ${database}`, () => {
    let service: TestService;
    let people: TargetPeople;
    let alice: Somebody;
    let instance = '';
    let instances = 0;
    before(async () => {
      const policy = { ...TEST_POLICY, limits: { ...TEST_POLICY.limits, max_age: '12h', inactivity_timeout: '6h' } };
      const sections = {
        ...{
          ...TARGETS,
          clusters: GATEWAY_CLUSTERS,
          policy,
          admins: { groups: ['admins'], limits: { max_age: '30m' } },
        },
        metrics: { address: '127.0.0.1', port: 0 },
      };
      service = await startTestService(sections, { postgres: database === 'postgres' });
      people = new TargetPeople(service);
    });
    after(() => service?.stop());
    beforeEach(async () => {
      service.advance(3_600);
      await service.sweep();
      alice = await people.somebody();
      instances += 1;
      instance = `gateway-${instances}`;
    });

    const tell = (first: number, events: readonly object[], of = 'targets') =>
      tellEvents(service.url, service.gateway_tokens[of], { instance, first, events });
    const closed = (stream: string, more: object = {}) => ({
      ...{ type: 'closed', age_ms: 0, stream, sid: alice.sid, kind: 'ssh', target: 'bastion', account: 'guest' },
      ...{ ...SUM, ...more },
    });
    const rows = ({ sid }: Somebody = alice) =>
      service.audit.flatMap((row) => (row.event === 'disconnect' && row.sid === sid ? [row] : []));
    const stored = () => {
      using opened = openStoreDatabase(service.storeFile);
      return opened.prepare('select id from connection').all().length;
    };
    const list = async (of: Somebody, query = ''): Promise<readonly SessionInfo[]> => {
      const { status, body } = await of.holder.api(of.handle, { query });
      if (status !== 200 || !isSessionList(body)) throw new Error(`no list: ${status} ${JSON.stringify(body)}`);
      return body.sessions;
    };
    const shown = async (of: Somebody = alice) =>
      (await list(of)).flatMap(({ connections = [] }) => connections.map(({ target, account }) => [target, account]));
    /** Its gateway asks for what it judges by. */
    const keep = (of: Somebody, ...targets: readonly object[]) =>
      askLeases(service.url, service.gateway_tokens.targets, { asks: [{ sid: of.sid, targets }] });

    test('C5 is a row with the person, where it led, how long, how much and why, by what the broker knows', async () => {
      const one = await people.connect(alice, 'bastion', 'guest');
      const two = await people.connect(alice, 'cache');
      service.advance(12);
      const lies = { sid: 'another', target: 'vault', account: 'root', kind: 'postgres' };
      const events = [
        { ...closed(one), type: 'opened', age_ms: 9_000 },
        closed(one, { age_ms: 3_999, ...lies }),
        closed(two, { type: 'cut', reason: 'logout' }),
      ];
      assert.equal(await tell(1, events), 3);
      const who = { sid: alice.sid, iss: service.issuer.issuer, sub: alice.sub, username: alice.username };
      const common = { event: 'disconnect', at: service.now, ...who, jkt: alice.holder.jkt, address: '203.0.113.9' };
      assert.deepEqual(JSON.parse(JSON.stringify(rows())), [
        {
          ...{ ...common, connection: one, target: 'bastion', kind: 'ssh', account: 'guest' },
          ...{ happened_at: service.now - 3, gateway: instance, ...SUM },
        },
        {
          ...{ ...common, connection: two, target: 'cache', kind: 'tcp' },
          ...{ happened_at: service.now, gateway: instance, ...SUM, reason: 'logout' },
        },
      ]);
      const figures = await scrape(service.metrics_url);
      const count = (target: string, kind: string, step: string) =>
        figures.value('curfew_connections_total', { target, kind, step });
      assert.ok((count('bastion', 'ssh', 'opened') ?? 0) >= 1 && (count('bastion', 'ssh', 'closed') ?? 0) >= 1);
      assert.ok((count('cache', 'tcp', 'cut') ?? 0) >= 1);
      assert.equal(count('cache', 'tcp', 'lost'), 0);
    });

    test('C5 is one row, however often and by however many processes it is told', async () => {
      const one = await people.connect(alice, 'cache');
      const events = [closed(one), closed(one, { type: 'cut', reason: 'logout' })];
      await Promise.all([tell(1, events), tell(1, events), tell(2, events)]);
      instance = 'another';
      await tell(1, [closed(one)]);
      await tell(1, [closed(one)], 'dev');
      await tell(2, [closed('no-such-connection'), { type: 'lost', age_ms: 0, count: 7 }]);
      assert.equal(rows().length, 1);
      const lost = service.audit.findLast(({ event }) => event === 'streams_lost');
      assert.deepEqual(JSON.parse(JSON.stringify(lost)), {
        event: 'streams_lost',
        at: service.now,
        gateway: 'another',
        count: 7,
      });
      assert.ok(
        service.log.some((line) => line.includes('connections that are not open')),
        'nobody is told',
      );
      await service.restart();
      await tell(3, [closed(one)]);
      assert.equal(rows().length, 1);
      assert.equal((await verifyAuditLog(await loadConfig(service.configFile, { env: process.env }))).exit, 0);
    });

    test('C5 is not acknowledged before it is on disk, and told again it is one row', async () => {
      const one = await people.connect(alice, 'cache');
      using opened = openStoreDatabase(service.storeFile);
      const allow = opened.refuse('insert on gateway_place');
      await assert.rejects(tell(1, [closed(one)]), /503/);
      allow();
      assert.deepEqual([rows().length, await shown()], [0, [['cache', undefined]]]);
      await tell(1, [closed(one)]);
      assert.deepEqual([rows().length, await shown()], [1, []]);
    });

    test('no gateway of a cluster ends a connection, and the one of targets tells of no streams of clusters', async () => {
      const one = await people.connect(alice, 'cache');
      await tell(1, [closed(one)], 'dev');
      assert.deepEqual([rows().length, await shown()], [0, [['cache', undefined]]]);
      const exec = { type: 'opened', age_ms: 0, stream: 's', sid: alice.sid, kind: 'exec', resource: 'pods/exec' };
      await tell(1, [exec]);
      assert.equal(service.audit.filter((row) => row.event === 'stream' && row.gateway === instance).length, 0);
    });

    test('until then it is in the list of sessions: one’s own, and an administrator’s', async () => {
      const opened = service.now;
      const one = await people.connect(alice, 'bastion', 'deploy');
      service.advance(2);
      await people.connect(alice, 'cache');
      const [info] = await list(alice);
      assert.deepEqual(info?.connections, [
        { target: 'bastion', account: 'deploy', kind: 'ssh', since: opened, address: '203.0.113.9' },
        { target: 'cache', kind: 'tcp', since: opened + 2, address: '203.0.113.9' },
      ]);
      const { body } = await alice.holder.api(alice.handle, { path: `/${alice.sid}` });
      assert.ok(isSessionInfo(body));
      assert.equal(body.connections?.length, 2);
      const root = await people.somebody(['admins']);
      const all = await list(root, '?all=true');
      assert.equal(all.find(({ sid }) => sid === alice.sid)?.connections?.length, 2);
      assert.equal('connections' in (all.find(({ sid }) => sid === root.sid) ?? {}), false);
      const bob = await people.somebody();
      assert.deepEqual(await shown(bob), []);
      await tell(1, [closed(one)]);
      assert.deepEqual(await shown(), [['cache', undefined]]);
      const { value } = await scrape(service.metrics_url);
      assert.deepEqual(
        ['cache', 'bastion'].map((target) => value('curfew_connections_open', { target })),
        [1, 0],
      );
    });

    test('of a session that was replaced it is with the one that judges', async () => {
      await people.connect(alice, 'cache');
      service.advance(5);
      const newer = await people.again(alice);
      assert.deepEqual(await shown(newer), [['cache', undefined]]);
      assert.equal(rows().length, 0);
    });

    test('C5 one whose gateway says nothing more leaves the list within a minute, and has its row after 10 min', async () => {
      const lost = async () => {
        const step = { target: 'cache', kind: 'tcp', step: 'lost' };
        return (await scrape(service.metrics_url)).value('curfew_connections_total', step) ?? 0;
      };
      const [opened, before] = [service.now, await lost()];
      const one = await people.connect(alice, 'cache');
      await people.connect(alice, 'bastion', 'guest');
      for (let passed = 0; passed < 580; passed += 20) {
        service.advance(20);
        await keep(alice, { target: 'bastion', account: 'guest' });
      }
      assert.deepEqual(await shown(), [['bastion', 'guest']], 'only what its gateway asks for is open');
      await service.sweep();
      assert.equal(stored(), 2);
      service.advance(40);
      await keep(alice, { target: 'bastion', account: 'guest' });
      await service.sweep();
      const [row, ...more] = rows();
      assert.deepEqual(more, []);
      const { connection, happened_at, reason, seconds, gateway } = row ?? {};
      assert.deepEqual(
        { connection, happened_at, reason, seconds, gateway },
        { connection: one, happened_at: opened, reason: 'gateway_lost', seconds: undefined, gateway: undefined },
      );
      // What is told of it later says nothing that could be relied on.
      await tell(1, [closed(one)]);
      assert.equal(rows().length, 1);
      assert.equal(await lost(), before + 1);
    });

    test('C5 after a restart of the broker it is known what is open, and what ended meanwhile is told', async () => {
      const one = await people.connect(alice, 'cache');
      await people.connect(alice, 'bastion', 'guest');
      await service.halt();
      service.advance(300);
      await service.restart();
      assert.deepEqual(await shown(), [], 'nothing is heard of them yet');
      await tell(1, [closed(one, { type: 'cut', age_ms: 290_000, reason: 'lost_broker' })]);
      await keep(alice, { target: 'bastion', account: 'guest' });
      await service.sweep();
      assert.deepEqual(await shown(), [['bastion', 'guest']]);
      assert.deepEqual(
        rows().map(({ connection, reason, happened_at }) => [connection, reason, happened_at]),
        [[one, 'lost_broker', service.now - 290]],
      );
    });
  });
}

// The threat model: broker or database is killed between the steps by which a role of a session is made and taken away (D8): once both are back
// nothing is left. Some of the moments, with SQLite; all of them, with both stores, are the long form's.

import { after, before, describe, test } from 'node:test';
import { type KillScene, openKillScene, openSchema, type Victim } from '../support/role_kills.ts';
import { type RoleServer, startRoleServer } from '../support/role_server.ts';
import type { Moment } from '../support/statement_gate.ts';

const MOMENTS: readonly (readonly [Victim, Moment, string])[] = [
  ['broker', 'after', 'create role'],
  ['broker', 'before', 'pg_terminate_backend'],
  ['broker', 'after', 'reassign owned'],
  ['database', 'after', 'create role'],
  ['database', 'after', ' nologin'],
  ['database', 'before', 'drop role'],
];

describe('roles of sessions, when something is killed', () => {
  let server: RoleServer;
  let scene: KillScene;
  before(async () => {
    server = await startRoleServer({ plain: true });
    await openSchema(server);
    scene = await openKillScene(server);
  });
  after(async () => {
    await scene?.stop();
    await server?.stop();
  });

  for (const [victim, moment, words] of MOMENTS) {
    test(`D8 the ${victim}, ${moment} ${words.trim()}: nothing is left once it is back`, () =>
      scene.walk(victim, moment, words));
  }
});

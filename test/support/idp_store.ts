// The memory of the test IdP behind oidc-provider's adapter interface: nothing is evicted while it runs.
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';

interface Entry {
  readonly payload: AdapterPayload;
  readonly expires: number;
}

export interface IdpStore {
  readonly adapter: AdapterFactory;
  /** Makes the SSO sessions of one person, or of everybody, that many seconds older. */
  ageSessions(sub: string | null, seconds: number): void;
  /** What the SSO sessions of a person are called in ID tokens for a client (`sid`). */
  sidsOf(sub: string, clientId: string): readonly string[];
  /** Ends the SSO sessions of one person, or of everybody. */
  endSessions(sub: string | null): void;
}

export function createIdpStore(): IdpStore {
  const models = new Map<string, Map<string, Entry>>();

  function entriesOf(model: string): Map<string, Entry> {
    const entries = models.get(model) ?? new Map<string, Entry>();
    models.set(model, entries);
    return entries;
  }

  function adapter(model: string): Adapter {
    const entries = entriesOf(model);
    const live = (entry: Entry | undefined) => (entry && entry.expires > Date.now() ? entry.payload : undefined);
    const findBy = async (key: 'uid' | 'userCode', value: string) =>
      live([...entries.values()].find(({ payload }) => payload[key] === value));
    return {
      async upsert(id, payload, expiresIn) {
        entries.set(id, { payload, expires: expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000 });
      },
      find: async (id) => live(entries.get(id)),
      findByUid: (uid) => findBy('uid', uid),
      findByUserCode: (code) => findBy('userCode', code),
      async consume(id) {
        const payload = entries.get(id)?.payload;
        if (payload) payload.consumed = Math.floor(Date.now() / 1000);
      },
      destroy: async (id) => void entries.delete(id),
      async revokeByGrantId(grantId) {
        for (const other of models.values()) {
          for (const [id, { payload }] of other) if (payload.grantId === grantId) other.delete(id);
        }
      },
    };
  }

  function* sessionsOf(sub: string | null): Iterable<readonly [string, AdapterPayload]> {
    for (const [id, { payload }] of entriesOf('Session')) {
      if (sub === null || payload.accountId === sub) yield [id, payload];
    }
  }

  return {
    adapter,
    ageSessions(sub, seconds) {
      for (const [, payload] of sessionsOf(sub)) if (payload.loginTs !== undefined) payload.loginTs -= seconds;
    },
    sidsOf: (sub, clientId) =>
      [...sessionsOf(sub)].flatMap(([, { authorizations }]) => {
        const sid = authorizations?.[clientId]?.sid;
        return sid === undefined ? [] : [sid];
      }),
    endSessions(sub) {
      for (const [id] of [...sessionsOf(sub)]) entriesOf('Session').delete(id);
    },
  };
}

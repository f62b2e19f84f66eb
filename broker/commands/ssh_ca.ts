// `curfew-broker keys list|rotate|revoke ssh-ca`: the keys that certify people's SSH keys. Hosts are not reached from here: what is to be done
// there is said.

import { CurfewError, EXIT } from '../../shared/errors.ts';
import type { Clock } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import type { SshTarget } from '../config/target_settings.ts';
import { CA_FILE } from '../layers/sshd_config.ts';
import { storedCaKeys } from '../ssh/ca_keys.ts';
import { addCaKey, type CaKeyState, caKeyStates, caOf, revokeCaKeys, sshTargets } from '../ssh/ca_rotation.ts';
import { formatTime } from '../text/rfc3339.ts';
import { administer, requireTime } from './administration.ts';
import type { Around } from './keys.ts';
import type { Done, Which } from './revoke_keys.ts';

/** @throws CurfewError `configuration` when there is no store of this version, `store` when it fails */
export async function listCaKeys(config: Config, now: Clock): Promise<readonly string[]> {
  const { targets } = caOf(config);
  const keys = await administer(config, (store) => store.read(storedCaKeys));
  if (keys.length === 0) return ['there is no key yet: the first is made when it is printed, or when the broker runs'];
  return caKeyStates(keys, targets, now()).map(sayCaKey);
}

function sayCaKey({ kid, created_at, signs_for, waits_for }: CaKeyState): string {
  const from = (sign_from: (typeof waits_for)[number]['sign_from']) =>
    sign_from === undefined ? 'once it is printed' : `from ${formatTime(sign_from)}`;
  const parts = [
    ...(signs_for.length > 0 ? [`signs for ${signs_for.join(', ')}`] : []),
    ...waits_for.map(({ target, sign_from }) => `signs for ${target} ${from(sign_from)}`),
  ];
  return `${kid}  ${parts.length === 0 ? 'signs no more' : parts.join('; ')}; made ${formatTime(created_at)}`;
}

/** Makes another key, which is printed from now on. @throws CurfewError `usage` where one waits already */
export async function rotateCaKeys(config: Config, { now, by, note }: Around): Promise<readonly string[]> {
  const parts = caOf(config);
  const added = await administer(config, async (store) => {
    await requireTime(store, now());
    return store.transaction((transaction) => addCaKey(transaction, parts, now(), { by, note }));
  });
  if (!added)
    throw new CurfewError('usage', 'a key that was made before signs for no target yet: nothing was done', {
      hint: 'see curfew-broker keys list ssh-ca',
    });
  return [
    `ok: ${added.kid} is among what is printed from now on; it signs for a target a day after it was printed for it`,
    ...sshTargets(config).map(toBeReplaced),
  ];
}

/**
 * Revokes keys at once. Hosts trust what they signed, and whatever somebody else signs by them, until their file is replaced.
 *
 * @returns exit 75 where there are hosts to be changed
 * @throws CurfewError `usage` where there is no key of an id: then nothing was done
 */
export async function revokeCa(config: Config, which: Which, { now, by, note }: Around): Promise<Done> {
  const { encryption } = caOf(config);
  const { revoked, left } = await administer(config, async (store) => {
    await requireTime(store, now());
    return store.transaction(async (transaction) => {
      await transaction.holdAll();
      const there = (await storedCaKeys(transaction.db)).map(({ kid }) => kid);
      const kids = 'all' in which ? there : [...new Set(which.kids)];
      requireKnown(kids, there);
      return { revoked: kids, left: await revokeCaKeys(transaction, encryption, kids, now(), { by, note }) };
    });
  });
  const hosts = sshTargets(config).map(toBeReplaced);
  return {
    lines: [
      `ok: revoked ${revoked.join(', ')}; ${left.map(({ kid }) => kid).join(', ')} ${left.length === 1 ? 'signs' : 'sign'} from now on`,
      ...(hosts.length === 0
        ? []
        : ['warning: hosts trust the revoked keys until they are changed, and the broker cannot reach them:']),
      ...hosts,
    ],
    exit: hosts.length === 0 ? EXIT.done : EXIT.try_again,
  };
}

function requireKnown(kids: readonly string[], there: readonly string[]): void {
  const unknown = kids.find((kid) => !there.includes(kid));
  if (unknown === undefined && kids.length > 0) return;
  const what = unknown === undefined ? 'no key of the ssh-ca' : `no key ${JSON.stringify(unknown)} of the ssh-ca`;
  throw new CurfewError('usage', `there is ${what}: nothing was done`, { hint: 'see curfew-broker keys list ssh-ca' });
}

function toBeReplaced({ name, address: { host, port } }: SshTarget): string {
  return `target ${name} (${host} port ${port}): replace ${CA_FILE} by what curfew-broker print sshd-config --target ${name} --file ${CA_FILE} prints`;
}

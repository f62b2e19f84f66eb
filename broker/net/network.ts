// Blocks of addresses as rules write them: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.

import { BlockList } from 'node:net';
import { plainAddress } from '../../serving/net/address.ts';
import { memo } from '../../shared/memo.ts';

interface Network {
  readonly family: 4 | 6;
  readonly list: BlockList;
}

const BITS = /^(0|[1-9][0-9]{0,2})$/;

/** Blocks come from the policy and from labels, so there are few; more than this many are not kept. */
const MOST = 10_000;

/** Whether a text is an address or a block of addresses. */
export function isNetwork(text: string): boolean {
  return blockOf(text) !== undefined;
}

/**
 * Whether an address lies in a block. On a socket for both families an IPv4 peer has an IPv6 spelling
 * (`::ffff:10.0.0.1`): it counts as what it is, IPv4.
 *
 * @throws TypeError when one of them is malformed: whoever asks must not take that for a no
 */
export function inNetwork(address: string, block: string): boolean {
  const network = blockOf(block);
  if (!network) throw new TypeError('not a block of addresses');
  const plain = plainAddress(address);
  if (!plain) throw new TypeError('not an address');
  return plain.family === network.family && network.list.check(plain.address, nameOf(plain.family));
}

const blockOf = memo(MOST, (text: string): Network | undefined => {
  const [base = '', bits, ...rest] = text.split('/');
  const plain = base.includes('%') ? undefined : plainAddress(base);
  if (!plain || rest.length > 0 || (bits !== undefined && !BITS.test(bits))) return undefined;
  const { family, address, mapped } = plain;
  const width = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? width : Number(bits) - (mapped ? 96 : 0);
  if (prefix < 0 || prefix > width) return undefined;
  const list = new BlockList();
  list.addSubnet(address, prefix, nameOf(family));
  return { family, list };
});

function nameOf(family: 4 | 6): 'ipv4' | 'ipv6' {
  return family === 4 ? 'ipv4' : 'ipv6';
}

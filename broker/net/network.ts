// Blocks of addresses as rules write them: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.

import { BlockList, isIP, SocketAddress } from 'node:net';
import { memo } from '../../shared/memo.ts';

interface Network {
  readonly family: 4 | 6;
  readonly list: BlockList;
}

const MAPPED = /^::ffff:(?=[0-9.]+$)/;
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

/** An address in its one spelling, IPv4 as what it is; a text that is none as it came. */
export function plainSpelling(address: string): string {
  return plainAddress(address)?.address ?? address;
}

/** Whose an address is likely to be: of IPv6 the first 64 bits, as a single host has as many addresses as it likes. */
export function networkOf(address: string): string {
  const plain = plainSpelling(address);
  if (isIP(plain) !== 6) return plain;
  const [head = '', tail] = plain.split('::');
  const first = head.split(':').filter((part) => part !== '');
  const last = (tail ?? '').split(':').filter((part) => part !== '');
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - first.length - last.length }, () => '0');
  return `${[...first, ...zeros, ...last].slice(0, 4).join(':')}::/64`;
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

function plainAddress(text: string) {
  switch (isIP(text)) {
    case 4:
      return { family: 4, address: text, mapped: false } as const;
    case 6: {
      const { address } = new SocketAddress({ address: text, family: 'ipv6' });
      const mapped = MAPPED.test(address);
      return { family: mapped ? 4 : 6, address: address.replace(MAPPED, ''), mapped } as const;
    }
    default:
      return undefined;
  }
}

function nameOf(family: 4 | 6): 'ipv4' | 'ipv6' {
  return family === 4 ? 'ipv4' : 'ipv6';
}

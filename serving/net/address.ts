// Addresses of peers, in one spelling; and whose they are likely to be.

import { isIP, SocketAddress } from 'node:net';

const MAPPED = /^::ffff:(?=[0-9.]+$)/;

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

/** @returns `undefined` if the text is not an address */
export function plainAddress(text: string) {
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

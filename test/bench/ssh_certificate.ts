// One SSH certificate, as a token for a target brings it: the key of the ssh-ca unsealed, the certificate written and signed. Without store and
// HTTP: what a renewal costs is `renew.*`.

import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { keyIdOf, newSerial, principalOf, signUserCertificate } from '../../broker/ssh/certificate.ts';
import { blobOf } from '../../broker/ssh/encoding.ts';
import { placesOf } from '../../broker/ssh/places.ts';
import { fingerprintOf, parsePublicKey, publicKeyLine } from '../../broker/ssh/public_key.ts';
import { sealKey, unseal } from '../../broker/tokens/sealed_key.ts';
import { seconds } from '../../shared/time.ts';
import type { Bench } from './figure.ts';
import { median } from './statistics.ts';

const NAME = 'ssh_certificate.us';
const ROUNDS = 15;
const IN_A_ROUND = 500;

export const sshCertificate: Bench = {
  figures: [{ name: NAME, unit: 'us', says: "an SSH certificate of a person's key, unsealed, written and signed" }],
  async run({ quick }) {
    const encryption = createSecretKey(randomBytes(32));
    const { privateKey } = generateKeyPairSync('ed25519');
    const kid = fingerprintOf(blobOf(privateKey));
    const sealed = sealKey(privateKey.export({ format: 'der', type: 'pkcs8' }), kid, encryption);
    const line = publicKeyLine(generateKeyPairSync('ed25519').publicKey);
    const make = () => {
      const subject = parsePublicKey(line);
      if ('fault' in subject) throw new TypeError(subject.fault);
      return signUserCertificate(unseal({ sealed, kid }, encryption), subject, {
        ...{
          serial: newSerial(),
          key_id: keyIdOf({ sid: 'lFfielgWuW96s9Hr84VmSg', username: 'curfew:alice@example.com' }),
        },
        ...{ valid_after: seconds(1_800_000_000), valid_before: seconds(1_800_000_120) },
        ...{
          source_addresses: placesOf(['10.0.9.4/32']),
          principals: [principalOf('bastion', 'deploy')],
          permit: ['pty'],
        },
      });
    };
    const count = quick ? 10 : IN_A_ROUND;
    const rounds = Array.from({ length: quick ? 2 : ROUNDS }, () => {
      const begin = performance.now();
      for (let i = 0; i < count; i++) make();
      return ((performance.now() - begin) * 1000) / count;
    });
    return { [NAME]: median(rounds) };
  },
};

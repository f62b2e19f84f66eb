// Why a server's certificate was not taken, in words, and what helps: never the network.

export interface CertificateFault {
  readonly message: string;
  readonly hint: string;
}

const ROOT = "give its issuer's certificate: --ca-file FILE, also to kubectl curfew setup, which keeps it";
const ASK = 'ask who runs it for another certificate';

/** By the code of OpenSSL or Node.js. @returns `undefined` when it is about something else */
export function certificateFault(code: string): CertificateFault | undefined {
  switch (code) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return {
        message: `its certificate is not trusted (${code}): signed by itself; --ca-file adds a root`,
        hint: ROOT,
      };
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'CERT_UNTRUSTED':
      return {
        message: `its certificate is not trusted (${code}): of an issuer that is not known here; --ca-file adds a root`,
        hint: ROOT,
      };
    case 'CERT_NOT_YET_VALID':
      return {
        message: "its certificate begins later, by this machine's clock",
        hint: "correct this machine's clock",
      };
    case 'CERT_HAS_EXPIRED':
      return {
        message: "its certificate is over, by this machine's clock",
        hint: "ask who runs it to renew the certificate, or correct this machine's clock",
      };
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'HOSTNAME_MISMATCH':
      return {
        message: `its certificate is for another host name (${code})`,
        hint: 'correct the URL, or ask who runs it for a certificate that names this host',
      };
    default:
      if (!/^(CERT|CRL|INVALID|PATH_LENGTH|UNABLE_TO|ERROR_IN_CERT|UNSPECIFIED$|EE_KEY|CA_)/.test(code))
        return undefined;
      return { message: `its certificate is not taken (${code})`, hint: ASK };
  }
}

/** Codes after which other roots may help. */
export const UNKNOWN_ISSUER: readonly string[] = [
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
];

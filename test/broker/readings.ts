// Each kind of token that is verified here, by name.

import { verifyGatewayToken, verifyToken } from '../../broker/tokens/verify.ts';
import type { Reading } from './reading.ts';
import { atGateway, ofCluster } from './readings_of_gateway.ts';
import { idToken, idTokenByPs256, idTokenByRs256 } from './readings_of_id_tokens.ts';
import { ownToken, proof, signedText } from './readings_of_ours.ts';
import { logoutToken, securityEvent } from './readings_of_provider.ts';
import { targetToken } from './readings_of_targets.ts';

export const READINGS: Readonly<Record<string, Reading>> = {
  'a signed text': signedText,
  'a Kubernetes token': ownToken('curfew+jwt', 'dev', verifyToken),
  'a token for a gateway': ownToken('curfew-gateway+jwt', 'dev/gateway', verifyGatewayToken),
  'a token for a target': targetToken,
  'a Kubernetes token at a gateway': atGateway,
  'a token of the cluster itself at a gateway': ofCluster,
  'an ID token by ES256': idToken,
  'an ID token by RS256': idTokenByRs256,
  'an ID token by PS256': idTokenByPs256,
  'a logout token': logoutToken,
  'a security event': securityEvent,
  'a DPoP proof': proof,
};

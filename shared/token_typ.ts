// What tokens of the broker say they are. A `typ` for each kind (RFC 8725 3.11), so that no verifier takes one for the other.

/** For an API server. */
export const TOKEN_TYP = 'curfew+jwt';
/** For a gateway alone, where `gateway.required` is set: no API server has its audience. */
export const GATEWAY_TOKEN_TYP = 'curfew-gateway+jwt';
/** For the gateway of targets, from whoever holds a key (RFC 9449 6.1): says nothing to an API server. */
export const TARGET_TOKEN_TYP = 'curfew-target+jwt';
/** Of tokens that a person presents to a cluster. */
export type TokenTyp = typeof TOKEN_TYP | typeof GATEWAY_TOKEN_TYP;

/** The `aud` of tokens that only the gateway of a cluster takes: reserved. @param cluster its name */
export function gatewayAudience(cluster: string): string {
  return `${cluster}/gateway`;
}

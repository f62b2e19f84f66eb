// Where Kubernetes carries what we put into a token: keys of a user's extra fields.

/** Where Kubernetes carries the session's id: in audit logs and in every SubjectAccessReview. */
export const SESSION_ID_KEY = 'curfew.internal/session-id';
/** Where kube-apiserver carries the token's `jti`, from 1.32 on: `JTI=...`. */
export const CREDENTIAL_ID_KEY = 'authentication.kubernetes.io/credential-id';
/** Where the printed configuration has it put by one that is older. */
export const TOKEN_ID_KEY = 'curfew.internal/token-id';

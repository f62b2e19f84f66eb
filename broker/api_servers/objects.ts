// What is asked of an API server, and what it holds that matters here.

export interface AdmissionObject {
  readonly kind: 'ValidatingAdmissionPolicy' | 'ValidatingAdmissionPolicyBinding';
  readonly metadata: { readonly name: string };
  readonly spec: object;
}

/** What one may do to a resource of the core group, in RBAC's words. */
export interface Right {
  readonly namespace: string;
  readonly verb: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly name?: string;
}

/** The four lists of RBAC, as the API server has them. */
export interface Bindings {
  readonly clusterrolebindings: readonly unknown[];
  readonly rolebindings: readonly unknown[];
  readonly clusterroles: readonly unknown[];
  readonly roles: readonly unknown[];
}

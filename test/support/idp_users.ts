// The people whom the test IdP knows, and the claims it makes about them.

/** One person; what stands after `password` becomes claims. */
export interface User {
  readonly password: string;
  /** The value to type as second factor; a login with it gets acr `mfa` unless `acr` says otherwise. */
  readonly otp?: string;
  /** Fixed values for every login of this person, whatever was typed. */
  readonly acr?: string;
  /** One text is sent as one, as some providers do. */
  readonly amr?: readonly string[] | string;
  readonly sub?: string;
  readonly email?: string;
  readonly email_verified?: boolean;
  readonly name?: string;
  readonly groups?: readonly string[] | string | null;
  /** Nobody logs in as them, and what was given to them before is worth nothing. */
  readonly disabled?: boolean;
}

export interface Account extends User {
  readonly username: string;
  readonly sub: string;
}

export interface Login {
  readonly accountId: string;
  readonly acr: string;
  readonly amr: string[];
}

export interface Users {
  set(username: string, patch: Partial<User>): void;
  remove(username: string): void;
  get(username: string): Account | undefined;
  bySub(sub: string): Account | undefined;
  /** What a login form's content amounts to; undefined is a refusal. */
  authenticate(username: string, password: string, otp: string): Login | undefined;
}

/** The scopes' claims; `acr`, `amr`, `auth_time` and `sid` belong to the login, not to the person. */
export function profile({ username, sub, email, email_verified, name, groups }: Account): Record<string, unknown> {
  return {
    sub,
    email,
    email_verified,
    name,
    preferred_username: username,
    groups: Array.isArray(groups) ? [...groups] : groups,
  };
}

export function createUsers(initial: Readonly<Record<string, User>>): Users {
  const accounts = new Map<string, Account>();
  const users: Users = {
    set(username, patch) {
      const defaults: Account = {
        username,
        sub: `sub-${username}`,
        password: username,
        email: `${username}@example.com`,
        email_verified: true,
        name: username,
        groups: [],
      };
      accounts.set(username, { ...defaults, ...accounts.get(username), ...patch, username });
    },
    remove: (username) => void accounts.delete(username),
    get: (username) => accounts.get(username),
    bySub: (sub) => [...accounts.values()].find((account) => account.sub === sub),
    authenticate(username, password, otp) {
      const account = accounts.get(username);
      if (account?.password !== password || account.disabled) return undefined;
      if (otp !== '' && otp !== account.otp) return undefined;
      const strong = otp !== '';
      return {
        accountId: account.sub,
        acr: account.acr ?? (strong ? 'mfa' : 'pwd'),
        amr: [account.amr ?? (strong ? ['pwd', 'otp', 'mfa'] : ['pwd'])].flat(),
      };
    },
  };
  for (const [username, user] of Object.entries(initial)) users.set(username, user);
  return users;
}

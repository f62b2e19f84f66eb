// What a Debian package says of itself, and what is run when it is installed, upgraded and removed.

import type { ProgramName } from './tree.ts';

const ABOUT: Readonly<Record<ProgramName, { readonly short: string; readonly long: string; readonly more: string }>> = {
  'kubectl-curfew': {
    short: 'Kubernetes sessions that end on time: the plugin of kubectl',
    long: 'Hands kubectl short-lived tokens of a curfew broker, and asks for a login when the session is over.',
    more: 'Recommends: libsecret-1-0\n',
  },
  'curfew-broker': {
    short: 'Kubernetes sessions that end on time: the token service',
    long: 'Exchanges logins at an OIDC provider for short-lived tokens of Kubernetes, and ends sessions.',
    more: '',
  },
  'curfew-gateway': {
    short: 'Kubernetes sessions that end on time: in front of kube-apiserver',
    long: 'Lets requests of active sessions through, and cuts what is open when a session is over.',
    more: '',
  },
};

/** What Node.js is linked against, and the certificates of public authorities. */
const DEPENDS = 'libc6 (>= 2.28), libstdc++6 (>= 9), libgcc-s1, ca-certificates';

/** What makes a service's user and its folder. */
const SERVICE_DEPENDS = 'systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles';

export function control(name: ProgramName, version: string, architecture: string, kilobytes: number): string {
  const { short, long, more } = ABOUT[name];
  return `Package: ${name}
Version: ${version}-1
Architecture: ${architecture}
Maintainer: Curfew <curfew@example.com>
Installed-Size: ${kilobytes}
Depends: ${name === 'kubectl-curfew' ? DEPENDS : `${DEPENDS}, ${SERVICE_DEPENDS}`}
${more}Section: admin
Priority: optional
Description: ${short}
 ${long}
`;
}

/** The format of Debian's policy. */
export function copyright(): string {
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: curfew
Comment: what it holds of others, and their licences: NODE-LICENSE and THIRD-PARTY-* in this folder

Files: *
Copyright: the curfew authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
`;
}

/** A service's: its user, its folder that it may read and not write, and systemd told. Nothing is started before there is a configuration. */
export function scriptsOf(name: ProgramName): Readonly<Record<string, string>> {
  return {
    // In another root (DPKG_ROOT) nothing of this machine is touched.
    postinst: `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  systemd-sysusers --root="\${DPKG_ROOT:-/}" ${name}.conf
  systemd-tmpfiles --root="\${DPKG_ROOT:-/}" --create ${name}.conf
  if [ -z "\${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ -z "$2" ] || systemctl try-restart ${name}.service || true
  fi
fi
`,
    prerm: `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "\${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
  systemctl --no-reload disable --now ${name}.service || true
fi
`,
    postrm: `#!/bin/sh
set -e
if [ -z "\${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
`,
  };
}

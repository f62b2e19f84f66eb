// Many people with ssh open at once: broker and gateway of targets from their bundles, a real sshd, and ssh for each. In place of the plugin, which
// would be a process of its own for each, this process carries what ssh says to the gateway.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Agent, fetch } from 'undici';
import { createWebSocketStream, WebSocket } from 'ws';
import { CONNECT_PATH, CONNECT_PROTOCOL } from '../../shared/targets.ts';
import { freePort } from '../cluster/ports.ts';
import { createCertificateAuthority } from './certificates.ts';
import { startGatewayProcess } from './gateway_process.ts';
import { Holder } from './holder.ts';
import { listenAnywhere } from './ports.ts';
import { type Running, startRunning } from './running.ts';
import { type Site, startSite } from './site.ts';
import { GATEWAY_ADDRESS, makeSshClient } from './ssh_client.ts';
import { makeSshServer, type SshServer } from './sshd.ts';
import { startStaticIssuer } from './static_issuer.ts';
import { targetToken } from './targets.ts';
import { startLink } from './tcp_link.ts';
import { POLICY } from './world.ts';

const TARGET = 'bastion';

export interface SshVisitor {
  readonly sid: string;
  /** Starts ssh with this command there. */
  ssh(command: string): Promise<Running>;
  /** A token of the broker for the cluster: a use of the session. */
  renew(): Promise<void>;
  /** Ends the session; resolves once that is acknowledged. */
  logout(): Promise<void>;
}

export interface SshStand {
  readonly server: SshServer;
  readonly site: Site;
  /** Somebody new. */
  visitor(): Promise<SshVisitor>;
  stop(): Promise<void>;
}

export async function startSshStand(): Promise<SshStand> {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-ssh-stand-'));
  const stops: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const [server, client] = [await makeSshServer(['deploy']), await makeSshClient()];
    stops.push(() => server.stop(), client.remove);
    const link = await startLink(server.port, GATEWAY_ADDRESS);
    stops.push(() => link.stop());
    const authority = await createCertificateAuthority(path.join(dir, 'ca'));
    const { caFile: ca_file, caPem: ca } = authority;
    const issuer = await startStaticIssuer();
    stops.push(() => issuer.stop());
    const dispatcher = new Agent({ connect: { ca } });
    stops.push(() => dispatcher.destroy());
    const [port, broker_port] = [await freePort(), await freePort()];
    const token_file = path.join(dir, 'gateway-token');
    await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
    const public_url = `wss://127.0.0.1:${port}`;
    const target = {
      ...{ name: TARGET, kind: 'ssh', address: `127.0.0.1:${link.port}`, allowed_groups: ['*'] },
      ...{ host_key: server.host_key, accounts: [{ account: 'deploy', groups: ['*'] }] },
    };
    const site = await startSite(
      {
        ...{ dir, authority, idp: { issuer: issuer.issuer, clientId: 'curfew' } },
        ...{ issuer: `https://127.0.0.1:${broker_port}`, policy: POLICY },
        sections: {
          target_gateway: { public_url, ca_file, token_file, source_addresses: [GATEWAY_ADDRESS] },
          targets: [target],
        },
      },
      [{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] }],
    );
    stops.push(() => site.stop());
    const gateway = await startGatewayProcess({
      ...{ dir, authority, port, public_url },
      broker: { url: site.url, ca_file, token_file },
    });
    stops.push(() => gateway.kill());
    const printed = await site.command('print', 'sshd-config', '--target', TARGET);
    for (const [, file = '', text = ''] of printed.stdout.matchAll(/^## (\/\S+)\n([\s\S]*?)(?=^## |(?![\s\S]))/gm))
      await server.put(file, text);
    await server.start();
    await client.trust(server);
    const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
    const way = { url: `${public_url}${CONNECT_PATH}${TARGET}`, ca };
    let people = 0;
    const visitor = async (): Promise<SshVisitor> => {
      const holder = new Holder({ url: site.url, issuer: site.url, send });
      const [now, sub] = [holder.now(), `person-${++people}`];
      const claims = { iss: issuer.issuer, aud: 'curfew', sub, iat: now, exp: now + 300, auth_time: now };
      const mail = { email: `${sub}@example.com`, email_verified: true };
      const id_token = issuer.sign({ ...claims, ...mail, nonce: holder.nonce });
      const { refresh_token: handle = '', session } = (await holder.exchange(id_token)).granted;
      return {
        sid: session.sid,
        async ssh(command) {
          const fields = { ssh_public_key: client.public_key };
          const { access_token, credential } = await targetToken(holder, handle, TARGET, fields);
          if (credential?.kind !== 'ssh') throw new Error('no certificate came');
          const certificate = path.join(dir, `${sub}-cert.pub`);
          await writeFile(certificate, `${credential.certificate}\n`);
          const own = await bridge(way, holder, access_token);
          const words = client
            .options({ port: own }, '127.0.0.1')
            .filter((word) => !word.startsWith('CertificateFile='));
          const options = words.flatMap((word, i) => (word === '-o' && words[i + 1] === '-o' ? [] : [word]));
          const more = ['-o', `CertificateFile=${certificate}`, '-o', `HostKeyAlias=[127.0.0.1]:${server.port}`];
          return startRunning('ssh', [...options, ...more, '-tt', `${credential.login}@127.0.0.1`, command]);
        },
        async renew() {
          if ((await holder.renew(handle, 'dev')).status !== 200) throw new Error('a renewal was refused');
        },
        async logout() {
          const { status } = await holder.revoke(handle);
          if (status !== 200) throw new Error(`the end of a session was answered ${status}`);
        },
      };
    };
    return { server, site, visitor, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** For one connection. @returns the port that leads to the target */
async function bridge(way: { readonly url: string; readonly ca: string }, holder: Holder, token: string) {
  const server = net.createServer((near) => {
    server.close();
    const ath = createHash('sha256').update(token).digest('base64url');
    const dpop = holder.proof({ method: 'GET', url: way.url.replace(/^wss:/, 'https:'), claims: { ath } });
    const headers = { authorization: `DPoP ${token}`, dpop };
    const socket = new WebSocket(way.url, CONNECT_PROTOCOL, { ca: way.ca, perMessageDeflate: false, headers });
    const far = createWebSocketStream(socket);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => other.destroy()).once('close', () => other.destroy());
    near.pipe(far).pipe(near);
    // As the plugin does: it does not wait for what would still come.
    socket.once('close', () => near.resetAndDestroy());
    once(socket, 'error').then(
      () => near.destroy(),
      () => undefined,
    );
  });
  return listenAnywhere(server);
}

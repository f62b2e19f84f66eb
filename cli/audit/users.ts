// A user of a kubeconfig: with what it comes to the API server.

import { isObject } from '../../shared/wire.ts';
import { oneLine } from '../warm/one_line.ts';
import { type CertificateFacts, factsOfCertificate, isOfMachine } from './certificate.ts';
import type { Entry } from './document.ts';
import { execFindings } from './exec.ts';
import type { Found, Seen } from './finding.ts';
import { isPlaceholder, isSecretName, kindOfToken, type TokenKind } from './token.ts';
import { sayKey, sayName } from './words.ts';
import { besideKubeconfig, isNamedAsMachine, sayEnd, type World } from './world.ts';

export interface Judged {
  readonly found: readonly Found[];
  readonly seen: readonly Seen[];
  /** Files with secrets that it names. */
  readonly named: readonly { readonly path: string; readonly line: number }[];
}

/** @param contexts names of the contexts that lead to it */
export function judgeUser(file: string, entry: Entry, contexts: readonly string[], world: World): Judged {
  const said = `user ${sayName(entry.name)}`;
  const [found, seen, named]: [Found[], Seen[], { path: string; line: number }[]] = [[], [], []];
  const machine = world.ci || isNamedAsMachine(entry.name, ...contexts);
  const make = (one: Omit<Found, 'entry' | 'line'>, ...path: readonly string[]): Found => ({
    ...{ ...one, entry: said, user: entry.name, line: entry.lineOf(...path) },
    ...((machine || one.machine) && { machine: true }),
  });
  const text = (key: string): string | undefined => {
    const value = entry.fields[key];
    const plain = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
    return isPlaceholder(plain) ? undefined : plain;
  };
  const keep = (secret: string, ...path: readonly string[]) =>
    seen.push({ secret, entry: said, line: entry.lineOf(...path) });

  const token = text('token');
  if (token !== undefined) {
    found.push(make(sayToken(kindOfToken(token), world), 'token'));
    keep(token, 'token');
  }
  const tokenFile = text('tokenFile');
  if (tokenFile !== undefined) {
    const path = besideKubeconfig(file, tokenFile);
    found.push(make(sayTokenFile(path, tokenFile, world), 'tokenFile'));
    named.push({ path, line: entry.lineOf('tokenFile') });
  }
  const certificate = certificateOf(file, text, world);
  const key = text('client-key-data');
  if (key !== undefined) keep(key, 'client-key-data');
  const keyFile = text('client-key');
  if (keyFile !== undefined) named.push({ path: besideKubeconfig(file, keyFile), line: entry.lineOf('client-key') });
  if (certificate || key !== undefined || keyFile !== undefined) {
    const field = certificate?.field ?? (key !== undefined ? 'client-key-data' : 'client-key');
    found.push(...sayCertificate(certificate?.facts, world).map((one) => make(one, field)));
  }
  const password = text('password');
  if (password !== undefined) {
    found.push(make({ name: 'password', detail: 'basic authentication' }, 'password'));
    keep(password, 'password');
  }
  const provider = entry.fields['auth-provider'];
  if (isObject(provider)) {
    const config = isObject(provider.config) ? provider.config : {};
    const held = Object.entries(config).filter(
      ([name, value]) => isSecretName(name) && typeof value === 'string' && !isPlaceholder(value),
    );
    for (const [name, value] of held) keep(String(value), 'auth-provider', 'config', name);
    const with_ = held.length === 0 ? '' : ` with ${held.map(([name]) => sayKey(name)).join(', ')}`;
    found.push(
      make({ name: 'auth_provider', detail: `${oneLine(String(provider.name ?? ''))}${with_}` }, 'auth-provider'),
    );
  }
  if (isObject(entry.fields.exec)) found.push(...execFindings(entry.fields.exec, entry, world, make, seen));
  const acting = ACTING.filter((key) => !isNothing(entry.fields[key]));
  const [first] = acting;
  if (first !== undefined) found.push(make({ name: 'impersonation', detail: acting.join(', ') }, first));
  return { found, seen, named };
}

const isNothing = (value: unknown) => value === undefined || value === null || value === '';

const ACTING = ['as', 'as-uid', 'as-groups', 'as-user-extra'] as const;

type Said = Omit<Found, 'entry' | 'line'>;

function sayToken({ kind, of, exp }: TokenKind, { now }: World): Said {
  if (kind === 'service_account') {
    const detail = exp === undefined ? `of ${oneLine(of ?? '')}` : `of ${oneLine(of ?? '')}, ${sayEnd(exp, now)}`;
    const name = exp === undefined ? 'service_account_token_without_end' : 'service_account_token';
    return { name, detail, machine: true };
  }
  if (kind === 'jwt') return { name: 'static_token', detail: `a JWT, ${sayEnd(exp, now)}` };
  return {
    name: 'static_token',
    detail: of === undefined ? sayEnd(undefined, now) : `${of}: ${sayEnd(undefined, now)}`,
  };
}

function sayTokenFile(path: string, written: string, world: World): Said {
  const place = oneLine(written);
  const machine = /^(?:\/var)?\/run\/secrets\//.test(path);
  const { content } = world.read(path);
  if (content === undefined) return { name: 'token_file', detail: `${place}, which cannot be read here`, machine };
  const { name, detail, machine: account = false } = sayToken(kindOfToken(content.trim()), world);
  if (name === 'static_token') return { name: 'token_file', detail: `${place}: ${detail}`, machine };
  return { name, detail: `in ${place}: ${detail}`, machine: machine || account };
}

function certificateOf(
  file: string,
  text: (key: string) => string | undefined,
  world: World,
): { readonly field: string; readonly facts: CertificateFacts | undefined } | undefined {
  const data = text('client-certificate-data');
  if (data !== undefined) return { field: 'client-certificate-data', facts: factsOfCertificate(data) };
  const path = text('client-certificate');
  if (path === undefined) return undefined;
  const { content } = world.read(besideKubeconfig(file, path));
  return { field: 'client-certificate', facts: content === undefined ? undefined : factsOfCertificate(content) };
}

/** What cannot be read is still a key that lies there. */
function sayCertificate(facts: CertificateFacts | undefined, { now }: World): Said[] {
  if (!facts) return [{ name: 'client_certificate', detail: 'the certificate cannot be read here' }];
  const who = [facts.user, ...facts.groups.map((group) => `group ${group}`)].filter(Boolean).join(', ');
  const detail = `${who}; ${sayEnd(facts.end, now)}`;
  const machine = isOfMachine(facts);
  if (facts.end <= now) return [{ name: 'client_certificate_expired', detail, machine }];
  const all: Said[] = [{ name: 'client_certificate', detail, machine }];
  if (facts.groups.includes('system:masters'))
    all.push({ name: 'cluster_admin_certificate', detail: facts.user, machine });
  return all;
}

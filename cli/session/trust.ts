// Which brokers are trusted. Where kubectl runs this, the broker, its certificates and the environment were chosen by whoever
// wrote the kubeconfig: no login begins and nothing is sent but to a broker that a person set up here, or an administrator.

import { resolve } from 'node:path';
import { CurfewError } from '../../shared/errors.ts';
import { memberOf, parseJson } from '../../shared/json.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { isObject } from '../../shared/wire.ts';
import { readConfig, writeConfig } from '../host/config.ts';
import { configDirectoryOf, type Host, type Owner } from '../host/host.ts';
import { faultOfPlace } from '../host/place.ts';
import { chosenDirectory, isRunByKubectl, usualDirectory } from '../warm/folders.ts';
import type { OwnFiles, Reader } from '../warm/machine.ts';
import { oneLine } from '../warm/one_line.ts';
import { sayLogin } from '../warm/refusal.ts';
import { type Config, type KnownBroker, parseBrokers } from '../warm/settings.ts';
import { areAmong, fingerprintsOf } from '../wire/certificates.ts';

const LARGEST_BYTES = 1024 * 1024;

export interface Trusted {
  /** What is remembered of the broker; absent where a person names one that is new here. */
  readonly known: KnownBroker | undefined;
  /** The certificates that count beside the system's. */
  readonly ca_file: string | undefined;
}

/**
 * Decides with whose certificates this broker is asked, if at all.
 *
 * @param ca_file of the command line
 * @throws CurfewError `unknown_broker` where kubectl runs this, and the broker or its certificates are none that are remembered
 */
export function trust(
  host: Owner & Pick<Host, 'say'>,
  config: Config,
  url: string,
  ca_file: string | undefined,
): Trusted {
  const known = memberOf(config.brokers, url) ?? memberOf(administratorsBrokers(host), url);
  const used = ca_file ?? known?.ca_file;
  if (!isRunByKubectl(host.env)) return { known, ca_file: used };
  if (!known) throw unknown(host, url);
  if (used !== undefined && !isRemembered(known, used, ca_file !== undefined)) {
    const message = `kubeconfig brings other certificates for the broker ${nameOf(url)} than those that it was set up with`;
    throw new CurfewError('unknown_broker', message);
  }
  return { known, ca_file: used };
}

function isRemembered({ ca_file, ca_sha256 }: KnownBroker, used: string, given: boolean): boolean {
  if (ca_sha256 !== undefined) return areAmong(fingerprintsOf(used), ca_sha256);
  // As 0.4.0 wrote it, and as an administrator may: what the file that they name holds.
  return !given || (ca_file !== undefined && areAmong(fingerprintsOf(used), fingerprintsOf(ca_file)));
}

/** As data: what kubeconfig brought is nothing that we recommend. */
function nameOf(url: string): string {
  return JSON.stringify(oneLine(new URL(url).host));
}

function unknown(host: Owner, url: string): CurfewError {
  const { env, strange_home, administrators } = host;
  const message = `the broker ${nameOf(url)} is not known here: neither your settings nor root's in ${administrators.folder} name it`;
  if (strange_home) {
    const hint = `run kubectl without sudo: HOME is of uid ${strange_home.owner}, and the settings of another user are not read`;
    return new CurfewError('unknown_broker', message, { hint });
  }
  const [chosen, usual] = [chosenDirectory(env), usualDirectory(env)];
  if (!chosen || chosen === usual || chosen === configDirectoryOf(host))
    return new CurfewError('unknown_broker', message);
  const hint = `${chosen} does not count here until setup or login was run with it by hand; else ask who gave you this kubeconfig for the setup command`;
  return new CurfewError('unknown_broker', message, { hint });
}

/** @throws CurfewError `unknown_broker`: setup changes whom kubectl's calls trust, so none of them may run it */
export function requireByHand(host: Owner & Pick<Host, 'say'>, config: Config, url: string): void {
  trust(host, config, url, undefined);
}

/** What root says for everybody. What anybody else could have written is not believed, and said. */
function administratorsBrokers(
  host: Reader & Pick<Host, 'administrators' | 'say'>,
): Readonly<Record<string, KnownBroker>> {
  const { folder, uid } = host.administrators;
  const file = `${folder}/brokers.json`;
  // On Windows nobody is root.
  if (host.uid === undefined) return {};
  const { fault, content, stat } = host.files.read(file, LARGEST_BYTES, false);
  if (fault === 'ENOENT' || fault === 'ENOTDIR') return {};
  const parsed = content === undefined ? 'is not a regular file that can be read' : parse(content);
  const place = stat && stat.uid !== uid ? `belongs to uid ${stat.uid}` : faultOfPlace(file, uid);
  const wrong = place ?? (typeof parsed === 'string' ? parsed : undefined);
  if (wrong === undefined && typeof parsed === 'object') return parsed;
  host.say(`${file} is not believed: ${wrong}`);
  return {};
}

function parse(text: string): Readonly<Record<string, KnownBroker>> | string {
  const value = parseJson(text);
  if (value === undefined) return 'it is not JSON';
  return parseBrokers(isObject(value) ? value.brokers : undefined);
}

export interface AskedTrust {
  readonly host: OwnFiles & Pick<Host, 'random' | 'say' | 'strange_home'>;
  readonly url: string;
  readonly is_default: boolean;
  readonly trusted: Trusted;
}

/**
 * Before anybody is sent to an identity provider: is it the one of before? A person who runs `login` sees both names.
 *
 * @throws CurfewError `unknown_broker` where kubectl runs this
 */
export function requireIdentityProvider({ host, url, is_default, trusted }: AskedTrust, metadata: Metadata): void {
  const { issuer } = metadata.identity_provider;
  const { known } = trusted;
  const before = known?.identity_provider;
  if (before === issuer) return;
  if (before === undefined) {
    if (!known) host.say(`new here: the broker ${nameOf(url)}, with the identity provider ${oneLine(issuer)}`);
    return;
  }
  const message = `the broker ${nameOf(url)} names another identity provider: ${oneLine(issuer)}, before it was ${oneLine(before)}`;
  if (!isRunByKubectl(host.env)) {
    host.say(message);
    return;
  }
  const hint = `ask who runs the broker; only if they changed it, run: ${sayLogin({ url, is_default })}`;
  throw new CurfewError('unknown_broker', message, { hint });
}

/** After a login, which a person has seen through: what there was is what is expected from now on. Never fails the login. */
export function rememberBroker({ host, url, trusted }: AskedTrust, metadata: Metadata): void {
  const { known, ca_file } = trusted;
  const { issuer } = metadata.identity_provider;
  // What an administrator says needs no copy.
  const config = readConfig(host);
  if (known?.identity_provider === issuer && (isRunByKubectl(host.env) || !isChanged(known, ca_file))) return;
  try {
    writeConfig(host, {
      ...config,
      brokers: { ...config.brokers, [url]: brokerOf(ca_file, issuer) },
    });
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    host.say(`the broker cannot be remembered: ${error.message}`);
  }
}

function isChanged(known: KnownBroker, ca_file: string | undefined): boolean {
  if (ca_file === undefined) return false;
  return known.ca_sha256 === undefined || !areAmong(fingerprintsOf(ca_file), known.ca_sha256);
}

/** What is remembered of a broker. */
export function brokerOf(ca_file: string | undefined, identity_provider: string): KnownBroker {
  if (ca_file === undefined) return { identity_provider };
  return { ca_file: resolve(ca_file), ca_sha256: fingerprintsOf(ca_file), identity_provider };
}

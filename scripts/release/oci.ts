// An OCI image layout (image-spec 1.1) around one layer, without an engine: four small JSON files around a tar. Equal contents make equal
// bytes.

import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

export interface ImageConfig {
  readonly architecture: 'amd64' | 'arm64';
  /** Of everything in it. */
  readonly epochSeconds: number;
  /** What it is called in the layout. */
  readonly tag: string;
  readonly user: string;
  readonly env: readonly string[];
  readonly command: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const OCI = 'application/vnd.oci.image';

/**
 * @param folder is made, and must not be there
 * @param layer the whole root, as a tar
 * @returns the digest of the image, `sha256:...`
 */
export async function writeLayout(folder: string, layer: Buffer, config: ImageConfig): Promise<string> {
  const blobs = path.join(folder, 'blobs/sha256');
  await mkdir(folder);
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, content: Buffer): Promise<Descriptor> => {
    const digest = sha256(content);
    await writeFile(path.join(blobs, digest), content);
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  const compressed = await put(`${OCI}.layer.v1.tar+gzip`, gzipSync(layer, { level: 6 }));
  const about = await put(`${OCI}.config.v1+json`, json(configOf(config, `sha256:${sha256(layer)}`)));
  const manifest = { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, config: about, layers: [compressed] };
  const { architecture, tag } = config;
  const image = await put(`${OCI}.manifest.v1+json`, json(manifest));
  const entry = {
    ...image,
    platform: { architecture, os: 'linux' },
    annotations: { 'org.opencontainers.image.ref.name': tag },
  };
  await writeFile(
    path.join(folder, 'index.json'),
    json({ schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests: [entry] }),
  );
  await writeFile(path.join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  return image.digest;
}

function configOf({ architecture, epochSeconds, user, env, command, labels }: ImageConfig, diff_id: string) {
  const created = new Date(epochSeconds * 1000).toISOString();
  return {
    created,
    architecture,
    os: 'linux',
    config: { User: user, Env: env, Cmd: command, WorkingDir: '/', Labels: labels },
    rootfs: { type: 'layers', diff_ids: [diff_id] },
    history: [{ created, created_by: 'curfew release' }],
  };
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** The layout as it is read again. */
export async function readLayer(folder: string): Promise<{ readonly file: string; readonly config: unknown }> {
  const blob = (digest: string) => path.join(folder, 'blobs', digest.replace(':', '/'));
  const read = async (file: string) => JSON.parse(await readFile(file, 'utf8')) as unknown;
  const index = (await read(path.join(folder, 'index.json'))) as { manifests: readonly [Descriptor] };
  const manifest = (await read(blob(index.manifests[0].digest))) as {
    config: Descriptor;
    layers: readonly [Descriptor];
  };
  return { file: blob(manifest.layers[0].digest), config: await read(blob(manifest.config.digest)) };
}

import { readFile } from 'node:fs/promises';
import { isMap, isSeq, parseDocument, type Document } from 'yaml';
import { cliConfigSchema, loadIfThere, type CliConfig } from './cli-config.js';
import { writePrivateFile } from './private-file.js';

export interface NewColony {
  id: string;
  endpoint: string;
  caFingerprint: string;
  /** `env://NAME`; absent when the token is kept in the credentials file. */
  tokenReference?: string | undefined;
}

/** Adds a colony or changes the one of the same id. The first becomes the current one. Comments and order stay. */
export async function putColony(file: string, colony: NewColony): Promise<void> {
  await edit(file, (document, config) => {
    const found = config.colonies.findIndex(({ id }) => id === colony.id);
    const at = found >= 0 ? found : config.colonies.length;
    if (!isSeq(document.get('colonies', true))) document.set('colonies', document.createNode([]));
    if (found < 0) document.addIn(['colonies'], document.createNode({ id: colony.id }));
    document.setIn(['colonies', at, 'endpoint'], colony.endpoint);
    document.setIn(['colonies', at, 'ca_fingerprint'], colony.caFingerprint);
    if (colony.tokenReference) document.setIn(['colonies', at, 'token'], colony.tokenReference);
    else document.deleteIn(['colonies', at, 'token']);
    if (config.current_colony === undefined) document.set('current_colony', colony.id);
  });
}

export async function setCurrentColony(file: string, id: string): Promise<void> {
  await edit(file, (document) => document.set('current_colony', id));
}

/** Reads with all checks first: a file that would be refused is never rewritten into one that is not. */
async function edit(file: string, change: (document: Document, config: CliConfig) => void): Promise<void> {
  const config = await loadIfThere(file, cliConfigSchema);
  const document: Document = parseDocument(config ? await readFile(file, 'utf8') : '');
  if (!isMap(document.contents)) document.contents = document.createNode({});
  change(document, config ?? cliConfigSchema.parse({}));
  await writePrivateFile(file, document.toString());
}

import type { KeyId } from '@coral/model';

/** The key of the colony this agent joined; an injection token with a value. */
export class ColonyKey {
  readonly keyId: KeyId;

  constructor(keyId: KeyId) {
    this.keyId = keyId;
  }
}

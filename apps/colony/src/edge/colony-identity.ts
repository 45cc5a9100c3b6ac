/** What the colony calls itself. */
export class ColonyIdentity {
  readonly id: string;
  readonly version: string;

  constructor(id: string, version: string) {
    this.id = id;
    this.version = version;
  }
}

import type { AuditRow } from '@coral/audit';
import { HttpEntrance, type HttpAnswer } from './http-entrance.js';
import { ColonyUnderTest, type ColonySettings, type Leased, type Person } from './start-colony.js';

export const tokenExchange = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
};

/** A person with a lease in the mesh and an access through the public door. */
export interface Caller extends AsyncDisposable {
  person: Person;
  lease: Leased;
  mesh: HttpEntrance;
  public: HttpEntrance;
  /** Both. */
  doors: readonly [HttpEntrance, HttpEntrance];
}

/** A colony whose tools are behind both HTTP doors. */
export class TwoDoors implements AsyncDisposable {
  readonly colony: ColonyUnderTest;
  readonly #caPem: string;

  private constructor(colony: ColonyUnderTest, caPem: string) {
    this.colony = colony;
    this.#caPem = caPem;
  }

  static async start({ config = {}, ...rest }: ColonySettings = {}): Promise<TwoDoors> {
    const { mcp_server: mcp = {}, ...more } = config as { mcp_server?: object };
    const colony = await ColonyUnderTest.start({ ...rest, config: { ...more, mcp_server: { public: true, ...mcp } } });
    return new TwoDoors(colony, await colony.caPem());
  }

  get resource(): string {
    return `https://${this.colony.ready.endpoint}/mcp`;
  }

  /** Nobody in particular, at the public door. */
  stranger(): HttpEntrance {
    return HttpEntrance.inPublic(this.colony.ready.endpoint, this.#caPem);
  }

  /** POST /oauth/token with these parameters; undefined leaves one of the usual ones out. */
  async exchange(parameters: Record<string, string | undefined>): Promise<HttpAnswer> {
    const all = Object.entries({ ...tokenExchange, ...parameters });
    const form = new URLSearchParams(all.filter((pair): pair is [string, string] => pair[1] !== undefined));
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return await this.stranger().send({ path: '/oauth/token', headers, body: form.toString() });
  }

  async token(person: Person, parameters: Record<string, string> = {}): Promise<string> {
    const { status, text } = await this.exchange({ subject_token: person.token, ...parameters });
    if (status !== 200) throw new Error(`no token: ${status} ${text}`);
    return (JSON.parse(text) as { access_token: string }).access_token;
  }

  async caller(user: string, ttlSeconds = 600): Promise<Caller> {
    const person = await this.colony.person(user);
    const lease = await person.lease(ttlSeconds);
    const token = await this.token(person, { expires_in: String(ttlSeconds) });
    const mesh = HttpEntrance.inMesh(lease);
    const open = HttpEntrance.inPublic(this.colony.ready.endpoint, this.#caPem, token);
    return {
      person,
      lease,
      mesh,
      public: open,
      doors: [mesh, open],
      [Symbol.asyncDispose]: async () => {
        await lease[Symbol.asyncDispose]();
        person.door[Symbol.dispose]();
      },
    };
  }

  /** Rows written while `attempt` ran. */
  async rowsDuring(attempt: () => Promise<unknown>): Promise<AuditRow[]> {
    const before = (await this.colony.audit()).length;
    await attempt();
    return (await this.colony.audit()).slice(before);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.colony[Symbol.asyncDispose]();
  }
}

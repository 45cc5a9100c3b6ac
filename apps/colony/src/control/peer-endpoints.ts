import type { KeyId } from '@coral/model';
import { MemberPlaces, type UdpPlace } from '../mesh/member-places.js';
import type { ControlDb } from './control-db.js';

/** How long a new place may be in memory only, so that many are one write: forgetting one costs its member a quarter of a minute. */
export const saveEndpointsAfterMs = 50;

/** {@link MemberPlaces} in the control store. */
export class PeerEndpoints extends MemberPlaces implements Disposable {
  private readonly db: ControlDb;
  private readonly known = new Map<KeyId, UdpPlace>();
  private unsaved = new Map<KeyId, UdpPlace | undefined>();
  private timer: NodeJS.Timeout | undefined;
  private readonly onError: (thrown: unknown) => void;

  constructor(db: ControlDb, onError: (thrown: unknown) => void) {
    super();
    this.db = db;
    for (const row of db.sql.prepare('SELECT key_id, host, port FROM mesh_endpoints').all()) {
      this.known.set(row['key_id'] as KeyId, { host: String(row['host']), port: Number(row['port']) });
    }
    this.onError = onError;
  }

  of(keyId: KeyId): UdpPlace | undefined {
    return this.known.get(keyId);
  }

  seen(keyId: KeyId, endpoint: string | undefined): void {
    const found = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(endpoint ?? '');
    const host = found?.[1] ?? found?.[2];
    if (host === undefined) return this.forget(keyId);
    const at = { host, port: Number(found?.[3]) };
    const before = this.known.get(keyId);
    if (before?.host === at.host && before.port === at.port) return;
    this.known.set(keyId, at);
    this.note(keyId, at);
  }

  forget(keyId: KeyId): void {
    if (this.known.delete(keyId)) this.note(keyId, undefined);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
    this.save();
  }

  private note(keyId: KeyId, at: UdpPlace | undefined): void {
    this.unsaved.set(keyId, at);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      try {
        this.save();
      } catch (thrown) {
        // Kept in `unsaved`, and tried again with the next change.
        this.onError(thrown);
      }
    }, saveEndpointsAfterMs);
    this.timer.unref();
  }

  private save(): void {
    const { unsaved } = this;
    if (unsaved.size === 0) return;
    this.db.transaction(() => {
      const put = this.db.sql.prepare('INSERT OR REPLACE INTO mesh_endpoints (key_id, host, port) VALUES (?, ?, ?)');
      const drop = this.db.sql.prepare('DELETE FROM mesh_endpoints WHERE key_id = ?');
      for (const [keyId, at] of unsaved) {
        if (at === undefined) drop.run(keyId);
        else put.run(keyId, at.host, at.port);
      }
    });
    this.unsaved = new Map();
  }
}

import type { PortMemory } from '../edge/bind-port.js';
import type { ControlDb } from './control-db.js';

/** Ports that the system chose, by the setting that said 0. */
export class PortRepository implements PortMemory {
  private readonly db: ControlDb;

  constructor(db: ControlDb) {
    this.db = db;
  }

  recall(name: string): number | undefined {
    const row = this.db.sql.prepare('SELECT port FROM ports WHERE name = ?').get(name);
    return row === undefined ? undefined : Number(row['port']);
  }

  remember(name: string, port: number): void {
    this.db.transaction(() =>
      this.db.sql
        .prepare('INSERT INTO ports (name, port) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET port = excluded.port')
        .run(name, port),
    );
  }
}

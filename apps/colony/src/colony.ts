import 'reflect-metadata';
import { join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AuditLog } from '@coral/audit';
import type { CoralError } from '@coral/errors';
import { CertificateAuthority } from '@coral/auth';
import { TelemetryStore } from '@coral/telemetry-store';
import type { ColonyConfig } from './colony.config.js';
import { ColonyModule } from './colony.module.js';
import type { BootClock } from './control/boot-clock.js';
import { ControlDb } from './control/control-db.js';
import { BindPort } from './edge/bind-port.js';
import { ColonyIdentity } from './edge/colony-identity.js';
import { Doors } from './edge/doors.js';
import { JsonLogger } from './edge/json-logger.js';
import { Lifetime } from './edge/lifetime.js';
import { AgentRepository } from './enroll/agent.repository.js';
import { AgentRoster } from './enroll/agent-roster.js';
import { EphemeralService } from './ephemeral/ephemeral.service.js';
import { LeaseEnds } from './ephemeral/lease-ends.js';
import { LeaseReaper } from './ephemeral/lease-reaper.js';
import { HttpDoors } from './http/http-doors.js';
import { ColonyMesh } from './mesh/colony-mesh.js';
import { Readiness } from './ops/readiness.js';
import { PublicAddress } from './public/public-address.js';
import { version } from './version.js';

/** Calls in progress when the colony is told to stop have this long. */
export const drainGraceMs = 10_000;

/** What the one line on stdout says. */
export interface ReadyLine {
  event: 'ready';
  endpoint: string;
  ca_fingerprint: string;
  ops: string;
}

export interface StartOptions {
  config: ColonyConfig;
  clock: BootClock;
  logger: JsonLogger;
}

/** A running colony. */
export class Colony {
  readonly ready: ReadyLine;
  private readonly app: INestApplication;
  private readonly doors: Doors;
  private readonly lifetime: Lifetime;

  private constructor(ready: ReadyLine, app: INestApplication, doors: Doors, lifetime: Lifetime) {
    this.ready = ready;
    this.app = app;
    this.doors = doors;
    this.lifetime = lifetime;
  }

  /** Opens everything in order; what was opened is closed again when a later step fails. */
  static async start({ config, clock, logger }: StartOptions): Promise<Colony> {
    const lifetime = new Lifetime();
    const doors = new Doors();
    try {
      const db = lifetime.own(ControlDb.open(config.data_dir));
      const agents = new AgentRepository(db);
      const roster = lifetime.own(
        new AgentRoster(agents, (thrown) => logger.failure('signs of life could not be saved', thrown)),
      );
      const store = await TelemetryStore.open({
        directory: join(config.data_dir, 'telemetry'),
        clock,
        retentionMs: config.telemetry.retention,
      });
      lifetime.own({ [Symbol.asyncDispose]: () => store.close() });
      const identity = new ColonyIdentity(config.colony.id, version);
      const app = await NestFactory.create(
        ColonyModule.of({ config, clock, logger, lifetime, identity, db, agents, roster, store }),
        { logger, abortOnError: false },
      );
      lifetime.own({ [Symbol.asyncDispose]: () => app.close() });
      const ready = await open({ app, doors, config, logger });
      return new Colony(ready, app, doors, lifetime);
    } catch (thrown) {
      await doors.close(0);
      await lifetime[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Resolves with what ended the mesh under a running colony; never, as long as it is well. */
  get lost(): Promise<CoralError> {
    return this.app.get(ColonyMesh).userspace?.lost ?? new Promise(() => undefined);
  }

  /** Not ready → drained → recorded → closed, last opened first. */
  async stop(why: string): Promise<void> {
    this.app.get(Readiness).down();
    await this.doors.close(drainGraceMs);
    const row = { kind: 'colony.stopped' as const, user_id: null, agent_id: null, payload: { why } };
    try {
      await this.app.get(AuditLog).append(row);
    } catch (thrown) {
      // Nothing is asked of the colony any more, so there is nothing left to refuse.
      this.app.get(JsonLogger).failure('the stop could not be audited', thrown);
    }
    await this.lifetime[Symbol.asyncDispose]();
  }
}

interface Opening {
  app: INestApplication;
  doors: Doors;
  config: ColonyConfig;
  logger: JsonLogger;
}

/** From "everything is loaded" to "everybody may come in". */
async function open({ app, doors, config, logger }: Opening): Promise<ReadyLine> {
  const mesh = app.get(ColonyMesh);
  const ca = app.get(CertificateAuthority);
  const ports = app.get(BindPort);
  const address = app.get(PublicAddress);
  await doors.connect(app);
  const ops = await listenForOperations(app, ports, config);
  app.get(AgentRoster).admitAll(mesh);
  await app.get(EphemeralService).resume();
  app.get(Lifetime).own(new LeaseReaper(app.get(LeaseEnds), logger));
  const endpoint = await doors.openAll({
    dataDirectory: config.data_dir,
    listen: config.listen,
    ports,
    ca,
    mesh: mesh.mesh,
    http: app.get(HttpDoors),
    names: address.names,
    announce: (at) => address.announce(at),
  });
  await app.get(AuditLog).append({
    kind: 'colony.started',
    user_id: null,
    agent_id: null,
    payload: { version, colony_id: config.colony.id, endpoint },
  });
  app.get(Readiness).up();
  return { event: 'ready', endpoint, ca_fingerprint: ca.fingerprint, ops };
}

async function listenForOperations(app: INestApplication, ports: BindPort, config: ColonyConfig): Promise<string> {
  app.getHttpAdapter().getInstance().disable('x-powered-by');
  const { port } = await ports.bind('ops_listen', config.ops_listen, async (at) => {
    await app.listen(at.port, at.host);
    const address = app.getHttpServer().address() as { port: number };
    return { port: address.port };
  });
  const { host } = config.ops_listen;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

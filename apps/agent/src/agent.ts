import 'reflect-metadata';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { Clock } from '@coral/model';
import { cannotListen } from './agent.errors.js';
import type { AgentConfig } from './agent.config.js';
import { AgentModule } from './agent.module.js';
import { AgentRuntime } from './agent-runtime.js';
import type { AgentLog } from './log.js';
import { agentGrpcPort, type ColonyLink } from './mesh/colony-link.js';
import { ErrorFilter } from './error.filter.js';
import { MeshGrpcStrategy } from './query/mesh-grpc.strategy.js';

/** What the agent says on stdout when it is ready. */
export interface ReadyLine {
  event: 'ready';
  agent_id: string;
  otlp_grpc: string;
  otlp_http: string;
  ops: string;
}

export interface RunningAgent extends AsyncDisposable {
  ready: ReadyLine;
  runtime: AgentRuntime;
  link: ColonyLink;
  stop(): Promise<void>;
}

/**
 * Starts a whole agent. Telemetry is taken in from the first moment on; the promise resolves when the agent has its place
 * on the mesh too. Aborting gives up the wait for a colony that does not answer.
 */
export async function startAgent(
  config: AgentConfig,
  o: { clock: Clock; log: AgentLog; env: NodeJS.ProcessEnv; signal?: AbortSignal },
): Promise<RunningAgent> {
  const runtime = await AgentRuntime.open(config, o.clock, o.log);
  const giveUp = () => void runtime.stop();
  o.signal?.addEventListener('abort', giveUp, { once: true });
  try {
    const otlp = await runtime.listen();
    const { membership, link } = await runtime.join(o.env);

    const app = await NestFactory.create(AgentModule.of(runtime, link), { logger: o.log });
    // Before connectMicroservice, and inherited: the mesh's handlers are wrapped there and then.
    app.useGlobalFilters(new ErrorFilter(o.log));
    app.connectMicroservice({ strategy: new MeshGrpcStrategy(link.mesh, agentGrpcPort) }, { inheritAppConfig: true });
    await app.startAllMicroservices();
    const { host, port } = config.ops.listen;
    await app.listen(port, host).catch((thrown: unknown) => {
      throw cannotListen('ops.listen', { host, port }, thrown);
    });
    runtime.startPushing();

    const bound = (app.getHttpServer() as Server).address() as AddressInfo;
    const ready: ReadyLine = {
      event: 'ready',
      agent_id: membership.agent_id,
      otlp_grpc: otlp.grpc,
      otlp_http: otlp.http,
      ops: `${host}:${bound.port}`,
    };
    const stop = async (): Promise<void> => {
      await runtime.stop();
      await app.close();
    };
    return { ready, runtime, link, stop, [Symbol.asyncDispose]: stop };
  } catch (thrown) {
    await runtime.stop();
    throw thrown;
  } finally {
    o.signal?.removeEventListener('abort', giveUp);
  }
}

import { context, trace, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

export interface Service {
  tracer: Tracer;
  /** Resolves when the agent has acknowledged everything recorded so far. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** A service instrumented by hand with the official SDK, for tests that must choose every span. */
export function openService(otlpHttp: string, name: string, version: string, instance: string): Service {
  const processor = new BatchSpanProcessor({
    exporter: new OTLPTraceExporter({ url: `${otlpHttp}/v1/traces` }),
    maxQueueSize: 100_000,
    scheduledDelayMillis: 100,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': name,
      'service.version': version,
      'service.instance.id': instance,
    }),
    spanProcessors: [processor],
  });
  return {
    tracer: provider.getTracer('test'),
    flush: () => provider.forceFlush(),
    close: () => provider.shutdown(),
  };
}

export interface Call {
  startMs: number;
  durationMs: number;
  route: string;
  failed?: boolean;
}

/** One request that `caller` makes of `callee`, with a query of the callee's to its database. */
export function recordCall(caller: Service, callee: Service, call: Call): void {
  const end = call.startMs + call.durationMs;
  const client = caller.tracer.startSpan('GET', {
    kind: SpanKind.CLIENT,
    startTime: call.startMs,
    attributes: { 'http.request.method': 'GET', 'server.address': 'callee.internal', 'server.port': 8080 },
  });
  const server = callee.tracer.startSpan(
    `GET ${call.route}`,
    {
      kind: SpanKind.SERVER,
      startTime: call.startMs,
      attributes: {
        'http.request.method': 'GET',
        'http.route': call.route,
        'http.response.status_code': call.failed ? 500 : 200,
      },
    },
    trace.setSpan(context.active(), client),
  );
  const query = callee.tracer.startSpan(
    'SELECT shop',
    {
      kind: SpanKind.CLIENT,
      startTime: call.startMs,
      attributes: {
        'db.system.name': 'postgresql',
        'db.namespace': 'shop',
        'server.address': 'db.internal',
        'server.port': 5432,
      },
    },
    trace.setSpan(context.active(), server),
  );
  query.end(call.startMs + call.durationMs / 2);
  if (call.failed) server.setStatus({ code: SpanStatusCode.ERROR, message: 'failed' });
  server.end(end);
  client.end(end);
}

/** Ten minutes of checkout → payment → database, up to now: 2 requests a second, 20 to 60 ms each. */
export async function sendOrdinaryTraffic(otlpHttp: string): Promise<void> {
  const checkout = openService(otlpHttp, 'checkout', '5.0.2', 'checkout-1');
  const payment = openService(otlpHttp, 'payment', '1.3.0', 'payment-1');
  const now = Date.now();
  for (let i = 0; i < 1_200; i++) {
    recordCall(checkout, payment, { startMs: now - 600_000 + i * 500, durationMs: 20 + (i % 41), route: '/pay' });
  }
  await checkout.close();
  await payment.close();
}

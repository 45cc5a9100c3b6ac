// OTLP 1.x messages and services. Mind that `forceLong=number` cannot hold Unix times in nanoseconds: the generated
// decoders throw on them. Encoders, responses and service definitions are sound; requests are read by the agent's own reader.
export * from './gen/opentelemetry/proto/common/v1/common.js';
export * from './gen/opentelemetry/proto/resource/v1/resource.js';
export * from './gen/opentelemetry/proto/trace/v1/trace.js';
export * from './gen/opentelemetry/proto/metrics/v1/metrics.js';
export * from './gen/opentelemetry/proto/logs/v1/logs.js';
export * from './gen/opentelemetry/proto/collector/trace/v1/trace_service.js';
export * from './gen/opentelemetry/proto/collector/metrics/v1/metrics_service.js';
export * from './gen/opentelemetry/proto/collector/logs/v1/logs_service.js';

import type { ChannelOptions, ServerOptions } from '@grpc/grpc-js';

/** Largest message either way, before compression and after. */
export const maxMessageBytes = 4 * 1024 * 1024;
/** Calls at once on one connection; more wait at the client. */
export const maxConcurrentStreams = 256;
/** All headers of one call. */
export const maxHeaderListBytes = 16 * 1024;
/** A stranger has this long to finish the TLS handshake, and to send the head of an HTTP/1.1 request. */
export const handshakeTimeoutMs = 10_000;
/** Open connections on the TLS port; more are dropped unheard. */
export const maxTlsConnections = 4_096;
/** What a call gets when its caller names no deadline. Nothing waits for ever. */
export const defaultDeadlineMs = 30_000;
/** Running calls have this long to finish when a server closes. */
export const closeGraceMs = 2_000;

const messageLimits = {
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
};

/**
 * For `new Server(grpcServerOptions)`; an injector takes its limits from there. Leave channelz on: without it, grpc-js
 * 1.14 forgets its sessions, and `forceShutdown` ends none of them.
 */
export const grpcServerOptions: ServerOptions = {
  ...messageLimits,
  'grpc.max_concurrent_streams': maxConcurrentStreams,
};

/** For every client. No proxy, no TXT look-ups, no subchannel shared with strangers' backoff: only what was dialled. */
export const grpcClientOptions: ChannelOptions = {
  ...messageLimits,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 5_000,
  'grpc.enable_channelz': 0,
};

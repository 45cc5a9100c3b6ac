export { TcpConnection } from './connection.js';
export type {
  ActiveOpen,
  ConnectionOptions,
  ConnectionOutput,
  KeepAlive,
  PassiveOpen,
  TcpAddress,
  TcpHandlers,
  TcpState,
} from './flow.js';
export { InitialSequence } from './initial-sequence.js';
export { DEFAULT_MSS_IPV4, DEFAULT_MSS_IPV6, defaultLimits, MIN_MSS, type TcpLimits } from './limits.js';
export { resetFor } from './reset-reply.js';
export { wireDistance } from './sequence.js';
export {
  peerGone,
  tcpAborted,
  tcpConnectTimeout,
  tcpRefused,
  tcpReset,
  tcpTimedOut,
  tcpUnreachable,
  type TcpError,
} from './tcp.errors.js';

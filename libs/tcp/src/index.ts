export {
  defaultLimits as defaultTcpLimits,
  TcpConnection,
  type KeepAlive,
  type TcpAddress,
  type TcpError,
  type TcpHandlers,
  type TcpLimits,
  type TcpState,
} from './connection/index.js';
export { newStackCounters, type StackCounters } from './stack/counters.js';
export {
  IpStack,
  type ConnectOptions,
  type IpStackOptions,
  type PingOptions,
  type StackOutput,
} from './stack/ip-stack.js';
export { defaultStackLimits, type StackLimits } from './stack/limits.js';
export type { Accept, TcpListener } from './stack/tcp-side.js';
export type { SocketAddress, UdpHandlers, UdpPort } from './stack/udp-ports.js';
export { addressFromWords, isUnicast, parseAddress, sameAddress, type IpAddress } from './wire/address.js';
export { dropReasons, type DropReason } from './wire/drop-reason.js';
export { ICMP, ICMPV6, IpHeader, readIpHeader, TCP, UDP } from './wire/ip-header.js';
export { ACK, FIN, RST, SYN } from './wire/segment.js';

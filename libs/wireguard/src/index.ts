export { AllowedIps, parsePrefix, type Prefix } from './allowed-ips.js';
export { type Endpoint } from './cookie/index.js';
export { dropReasons, type DeviceCounters, type DropReason } from './device/counters.js';
export { WireGuardDevice } from './device/device.js';
export { defaultDeviceLimits, type DeviceLimits } from './device/limits.js';
export { type DevicePeer } from './device/peer.js';
export type {
  DeviceEvent,
  DeviceOptions,
  DeviceOutput,
  PeerOptions,
  RefusedEvent,
  SendResult,
} from './device/types.js';
export { badWireGuardKey, wireGuardCryptoMissing, type RandomBytes } from './noise/index.js';

import type { KeyId } from '@coral/model';

export interface UdpPlace {
  host: string;
  port: number;
}

/** Where members of the mesh were last, over restarts. Members on the relay have no place that could be called. */
export abstract class MemberPlaces {
  abstract of(keyId: KeyId): UdpPlace | undefined;
  /** `endpoint` as mesh events have it: `203.0.113.7:41820`, `[2001:db8::7]:41820` or `ws:<id>`. */
  abstract seen(keyId: KeyId, endpoint: string | undefined): void;
  abstract forget(keyId: KeyId): void;
}

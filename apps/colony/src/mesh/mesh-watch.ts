import type { MeshEvent } from '@coral/mesh';
import type { JsonLogger } from '../edge/json-logger.js';
import type { MeshRefusals } from './mesh-refusals.js';
import type { MemberPlaces } from './member-places.js';

/** What the colony does about what happens on its mesh. */
export class MeshWatch {
  private readonly places: MemberPlaces;
  private readonly refusals: MeshRefusals;
  private readonly logger: JsonLogger;

  constructor(places: MemberPlaces, refusals: MeshRefusals, logger: JsonLogger) {
    this.places = places;
    this.refusals = refusals;
    this.logger = logger;
  }

  readonly onEvent = (event: MeshEvent): void => {
    const { kind, peer: key_id } = event;
    switch (kind) {
      case 'handshake':
        this.places.seen(event.peer, event.endpoint);
        this.logger.say('debug', 'a member of the mesh shook hands', { key_id, endpoint: event.endpoint });
        break;
      case 'roamed':
        this.places.seen(event.peer, event.to);
        this.logger.say('info', 'a member of the mesh moved', { key_id, from: event.from, to: event.to });
        break;
      case 'key_shared':
        this.logger.say('warn', 'two machines use one WireGuard key; each ends the session of the other', {
          key_id,
          endpoints: event.endpoints.join(' and '),
        });
        this.refusals.record('key_shared', { key_id, endpoints: [...event.endpoints] });
        break;
      case 'refused':
        this.refusals.record(event.reason, {
          key_id,
          ip_address: event.endpoint,
          ...(event.more > 0 ? { others_since: event.more } : {}),
        });
        break;
      case 'forward_denied': {
        const { kind: _kind, peer: _peer, ...denied } = event;
        this.refusals.record('forward_denied', { key_id, ...denied });
        break;
      }
      case 'peer_refused':
        this.logger.say('error', 'a member cannot be on the mesh', { key_id, problem: event.problem });
        break;
      case 'endpoint_unresolved':
        this.logger.say('warn', 'a member of the mesh cannot be found', { key_id, host: event.host });
        break;
      case 'gave_up':
        this.logger.say('info', 'a member of the mesh does not answer', { key_id });
        break;
    }
  };
}

import type { HttpDoor } from './http-door.js';

/** The colony's HTTP entrances. Each has its own routes: nothing reaches the other's tokens. */
export class HttpDoors {
  readonly mesh: HttpDoor;
  /** Absent while `mcp_server.public` is off. */
  readonly public: HttpDoor | undefined;

  constructor(mesh: HttpDoor, publicDoor: HttpDoor | undefined) {
    this.mesh = mesh;
    this.public = publicDoor;
  }
}

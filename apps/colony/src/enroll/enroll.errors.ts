import { CoralError } from '@coral/errors';

export class AgentKeyInUse extends CoralError {
  constructor() {
    super({
      kind: 'invalid_argument',
      reason: 'key_in_use',
      where: 'public_key',
      message: 'public_key: this key is on the mesh already.',
      next: 'An agent that joined before needs no new token; a new one must make its own key.',
    });
  }
}

export class BadAgentName extends CoralError {
  constructor(maxLength: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_agent_name',
      where: 'name',
      message: `name: must have 1 to ${maxLength} characters, none of them a control character.`,
      next: 'Give the agent a short name, for example that of its host.',
    });
  }
}

export class UnknownAgentPeer extends CoralError {
  constructor() {
    super({
      kind: 'permission_denied',
      reason: 'not_an_agent',
      message: 'This connection belongs to no enrolled agent.',
      next: 'Enrol the agent with a join token first.',
    });
  }
}

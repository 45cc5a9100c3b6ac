import { inspect } from 'node:util';
import { CoralError } from '@coral/errors';

const mask = '***';
const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;
const variable = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A value that prints as `***` wherever it is printed. Only `reveal()` gives it out, at the place that needs it. */
export class Secret {
  readonly #literal: string | undefined;
  readonly #variable: string | undefined;

  private constructor(literal: string | undefined, name: string | undefined) {
    this.#literal = literal;
    this.#variable = name;
    Object.freeze(this);
  }

  static literal(value: string): Secret {
    return new Secret(value, undefined);
  }

  /** `env://NAME`. Nothing is read before `reveal()`; other schemes (`exec://`, `file://`) are refused, never run. */
  static reference(text: string): Secret {
    const word = scheme.exec(text)?.[1]?.toLowerCase();
    if (word !== 'env') throw new UnknownSecretScheme(word);
    const name = text.slice('env://'.length);
    if (!variable.test(name)) throw new UnknownSecretScheme('env');
    return new Secret(undefined, name);
  }

  /** What a file holds: a reference if it has a scheme, else the secret itself. */
  static parse(text: string): Secret {
    return scheme.test(text) ? Secret.reference(text) : Secret.literal(text);
  }

  /** For people: `env://NAME`, or `***` for a literal. */
  get source(): string {
    return this.#variable === undefined ? mask : `env://${this.#variable}`;
  }

  /** The value itself. An unset or empty variable is `secret_unset`. */
  reveal(env: NodeJS.ProcessEnv = process.env): string {
    if (this.#literal !== undefined) return this.#literal;
    const name = this.#variable ?? '';
    const value = env[name];
    if (value === undefined || value === '') throw new SecretUnset(name, value === '');
    return value;
  }

  toString(): '***' {
    return mask;
  }

  toJSON(): '***' {
    return mask;
  }

  [inspect.custom](): '***' {
    return mask;
  }
}

export class UnknownSecretScheme extends CoralError {
  constructor(word: string | undefined) {
    super({
      kind: 'failed_precondition',
      reason: 'secret_scheme',
      message:
        word === 'env'
          ? 'An env:// reference must name one environment variable (letters, digits and _).'
          : `${word === undefined ? 'A secret without a scheme' : `${word}://`} is not a reference that Coral reads; nothing was run or opened.`,
      next: 'Write env://NAME, with the name of an environment variable.',
    });
  }
}

export class SecretUnset extends CoralError {
  constructor(name: string, isEmpty: boolean) {
    super({
      kind: 'failed_precondition',
      reason: 'secret_unset',
      where: `env://${name}`,
      message: `The environment variable ${name} is ${isEmpty ? 'empty' : 'not set'}.`,
      next: `Set it in this shell: export ${name}=…`,
    });
  }
}

import { distance } from 'fastest-levenshtein';
import type { EventType } from '@coral/tools';
import { nearestWords, quote, QuestionNotUnderstood, UnknownService } from './language.errors.js';
import { eventWords, stepFor, type EventsQuestion, type MetricsQuestion, type Question } from './question.js';
import { readWords, type ReadWords } from './read-question.js';
import { formatRange, rangeArgument, readDuration, readUnit } from './time-words.js';
import { writeName } from './tokens.js';
import { vocabulary } from './vocabulary.js';

/** What names can mean, and the arguments beside the text. */
export interface Surroundings {
  services: readonly string[];
  agents: readonly { agentId: string; name: string }[];
  /** A service, or an agent's id or name. What the text names wins. */
  scope?: string | undefined;
  /** Counts where the text names no time. */
  timeRange: string;
}

/** A question in plain words, or an error that says which word is not understood. Deterministic. */
export function understand(text: string, around: Surroundings): Question {
  const read = readWords(text);
  const named = resolveNames(read, around);
  const scope = scopeOf(around, named.service !== undefined);
  const shared = {
    ...optional('service', named.service ?? scope.service),
    ...optional('agentId', read.agent === undefined ? scope.agentId : agentIdOf(read.agent, around)),
    rangeMs: read.rangeMs ?? rangeArgument(around.timeRange),
  };
  if (read.events.length > 0) return eventsQuestion(read, shared);
  if (read.metrics.length === 0) {
    throw new QuestionNotUnderstood('The question does not say what to measure or which events to list.');
  }
  return metricsQuestion(read, shared);
}

type Shared = Pick<Question, 'service' | 'agentId' | 'rangeMs'>;

function metricsQuestion(read: ReadWords, shared: Shared): MetricsQuestion {
  const { by, top } = read;
  const byTime = by.includes('time');
  if (by.includes('dependency') && (by.includes('route') || by.includes('version'))) {
    throw new QuestionNotUnderstood(
      'Calls to dependencies are not known by route or version; group by one or the other.',
    );
  }
  if (read.stepMs !== undefined && !byTime) throw new QuestionNotUnderstood('A step needs "by time".');
  if (top !== undefined && byTime) throw new QuestionNotUnderstood('"top" and "by time" do not go together.');
  const stepMs = read.stepMs ?? stepFor(shared.rangeMs);
  return {
    kind: 'metrics',
    ...shared,
    metrics: read.metrics,
    by,
    ...(byTime ? { stepMs } : {}),
    ...optional('top', top),
  };
}

function eventsQuestion(read: ReadWords, shared: Shared): EventsQuestion {
  if (read.metrics.length > 0) {
    throw new QuestionNotUnderstood('The question asks for numbers and for events; ask one at a time.');
  }
  if (read.by.length > 0 || read.top !== undefined || read.stepMs !== undefined) {
    throw new QuestionNotUnderstood('Events are listed one by one: "by", "top" and "step" do not apply.');
  }
  const all = Object.keys(eventWords) as EventType[];
  const types = read.events.includes('any') ? [] : all.filter((type) => read.events.includes(type));
  return { kind: 'events', ...shared, types };
}

/** At most one service, and every other word must mean something. */
function resolveNames(read: ReadWords, around: Surroundings): { service?: string } {
  const found = new Set<string>();
  for (const { words, quoted } of read.names) {
    const whole = words.join(' ');
    const service = serviceNamed(whole, around.services);
    if (service !== undefined) found.add(service);
    else if (quoted) throw new UnknownService(whole, around.services, 'query');
    else for (const word of words) found.add(serviceNamed(word, around.services) ?? refuse(word, read, around));
  }
  if (found.size > 1) {
    const names = [...found].map((name) => JSON.stringify(name)).join(' and ');
    throw new QuestionNotUnderstood(`The question names ${names}; ask about one, or "by service".`);
  }
  return optional('service', [...found][0]);
}

/** A word in the place of a service is an unknown service; any other is just not understood. */
function refuse(word: string, read: ReadWords, around: Surroundings): never {
  const { services } = around;
  const nearWords = nearestWords(word, [...vocabulary.keys(), ...services]);
  const closest = (known: Iterable<string>): number =>
    Math.min(Infinity, ...[...known].map((one) => distance(word.toLowerCase(), one.toLowerCase())));
  const onlyUnknown = read.names.length === 1 && read.names[0]?.words.length === 1;
  const complete = read.metrics.length > 0 || read.events.length > 0;
  const looksLikeWord = word.length >= 3 && closest(vocabulary.keys()) <= 1 && closest(services) > 1;
  if (onlyUnknown && complete && !looksLikeWord) throw new UnknownService(word, services, 'query');
  throw new QuestionNotUnderstood(`${quote(word)} is not understood.`, nearWords);
}

/** Exact, else the only one that differs in case alone. Before any data came, every name is taken at its word. */
function serviceNamed(name: string, services: readonly string[]): string | undefined {
  if (services.length === 0 || services.includes(name)) return name;
  const alike = services.filter((service) => service.toLowerCase() === name.toLowerCase());
  return alike.length === 1 ? alike[0] : undefined;
}

/** The `service` argument of a tool. Errors: not_found `unknown_service`. */
export function serviceArgument(name: string, services: readonly string[], where: string): string {
  const found = serviceNamed(name, services);
  if (found === undefined) throw new UnknownService(name, services, where);
  return found;
}

function scopeOf(around: Surroundings, textNamesService: boolean): { service?: string; agentId?: string } {
  const scope = around.scope?.trim() ?? '';
  if (scope === '') return {};
  const agent = around.agents.find((one) => one.agentId === scope || one.name === scope);
  if (around.services.includes(scope) || agent === undefined) {
    return textNamesService ? {} : { service: serviceArgument(scope, around.services, 'scope') };
  }
  return { agentId: agent.agentId };
}

function agentIdOf(word: string, { agents }: Surroundings): string {
  const found = agents.filter((one) => one.agentId === word || one.name === word);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only.agentId;
  const near = nearestWords(
    word,
    agents.flatMap((one) => [one.agentId, one.name]),
  );
  const problem = found.length > 1 ? 'names several agents; use its id' : 'is no agent';
  throw new QuestionNotUnderstood(
    `${quote(word)} ${problem}.`,
    found.length > 1 ? found.map((one) => one.agentId) : near,
  );
}

/** The question as understood, in words that read back as the same question. */
export function canonicalOf(question: Question): string {
  const isReserved = (word: string): boolean =>
    vocabulary.has(word) || readDuration([word]) !== undefined || readUnit(word) !== undefined;
  const service = question.service === undefined ? '' : `${writeName(question.service, isReserved)} `;
  const agent = question.agentId === undefined ? '' : ` on agent ${writeName(question.agentId, () => false)}`;
  const time = `, last ${formatRange(question.rangeMs)}`;
  if (question.kind === 'events') {
    const what = question.types.length === 0 ? 'events' : question.types.map((type) => eventWords[type]).join(' and ');
    return `${service}${what}${agent}${time}`;
  }
  const by = question.by.length === 0 ? '' : ` by ${question.by.join(' and ')}`;
  const step = question.stepMs === undefined ? '' : `, step ${formatRange(question.stepMs)}`;
  const top = question.top === undefined ? '' : `, top ${question.top}`;
  return `${service}${question.metrics.join(' and ')}${by}${agent}${time}${step}${top}`;
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

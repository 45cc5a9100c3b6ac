import { UnknownService, type KnownService } from '@coral/telemetry-store';

/**
 * A name, or a pattern with `*` (anything) and `?` (one character); case does not matter. Nothing matches: not_found
 * `unknown_service`, except before any data came.
 */
export function matchServices(pattern: string | undefined, services: readonly KnownService[]): readonly KnownService[] {
  const wanted = pattern?.trim() ?? '';
  if (wanted === '' || services.length === 0) return services;
  const expression = new RegExp(
    `^${wanted
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/\*+/g, '.*')
      .replaceAll('?', '.')}$`,
    'iu',
  );
  const found = services.filter((service) => expression.test(service.name));
  if (found.length === 0)
    throw new UnknownService(
      wanted,
      services.map((service) => service.name),
      'service_filter',
    );
  return found;
}

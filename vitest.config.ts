import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What only waits begins first: at the end it would keep one of two workers for minutes after the other is done. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const waits = (file: TestSpecification): number =>
      /wireguard-rekey|\/faults\.e2e-spec/.test(file.moduleId) ? 0 : 1;
    return sorted.toSorted((a, b) => waits(a) - waits(b));
  }
}

const shared = { resolve: { tsconfigPaths: true } };
const whole = { pool: 'forks', testTimeout: 180_000, hookTimeout: 180_000 } as const;

/** In groups, one after the other: what asks for whole machines does not share it with the unit tests. */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          include: ['{apps,libs}/*/src/**/*.spec.ts', 'scripts/**/*.spec.ts'],
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 30_000,
        },
      },
      {
        ...shared,
        test: {
          name: 'e2e',
          sequence: { groupOrder: 1 },
          include: ['e2e/**/*.e2e-spec.ts'],
          exclude: ['e2e/demo.e2e-spec.ts'],
          // They wait for processes and clocks more than they compute.
          maxWorkers: 2,
          ...whole,
        },
      },
      {
        ...shared,
        test: {
          name: 'demo',
          // Alone: what a service answers in shows whatever else runs on the two cores.
          sequence: { groupOrder: 2 },
          include: ['e2e/demo.e2e-spec.ts'],
          fileParallelism: false,
          ...whole,
        },
      },
    ],
  },
});

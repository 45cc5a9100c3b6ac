import { defineConfig } from 'vitest/config';

const shared = { resolve: { tsconfigPaths: true } };

export default defineConfig({
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          include: ['{apps,libs}/*/src/**/*.spec.ts', 'scripts/**/*.spec.ts'],
          pool: 'forks',
          testTimeout: 30_000,
        },
      },
      {
        ...shared,
        test: {
          name: 'e2e',
          // After the unit tests: whole systems on two cores want them for themselves.
          sequence: { groupOrder: 1 },
          include: ['e2e/**/*.e2e-spec.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});

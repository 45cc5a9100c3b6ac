/** Counts single tests over all projects; a file that cannot be loaded counts as one failure. */
export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const reasons = new Map();
    for (const module of modules) {
      if (module.errors().length > 0) count.failed += 1;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed' || state === 'failed') count[state] += 1;
        else {
          count.skipped += 1;
          process.stdout.write(`SKIPPED: ${test.fullName}\n`);
          // As e2e/mesh/support/requirements.ts names it.
          const [, reason] = / \[needs ([^\]]+)\]/.exec(test.fullName) ?? [];
          if (reason) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        }
      }
    }
    for (const [reason, tests] of reasons) process.stdout.write(`SKIPPED ${tests}: they need ${reason}\n`);
    process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
  }
}

// Which way imports may point. Each forbidden edge says why; docs/architecture.md draws the picture.
const core = 'wireguard|tcp|tools|policy|diagnosis';
const io = 'mesh|rpc|telemetry-store|llm|mcp-client|audit|tool-path|sql-gate|auth|config|observe';
const spec = '\\.(spec|contract|fuzz|bench)\\.ts$|/testdata/|/spec-support/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle is a missing third thing: name it.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'apps-never-import-each-other',
      comment: 'Apps meet through proto/ and libs/tools; an import would weld two deployments together.',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'libs-never-import-apps',
      comment: 'Libs are shared; an app is one use of them.',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^(apps|scripts|e2e)/' },
    },
    {
      name: 'nest-stays-in-apps',
      comment: 'The CLI is not Nest, and a test of a lib should not need a container.',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: 'node_modules/@nestjs/' },
    },
    {
      name: 'cli-is-not-nest',
      comment: 'The CLI starts in milliseconds; Nest does not.',
      severity: 'error',
      from: { path: '^apps/cli/' },
      to: { path: 'node_modules/@nestjs/' },
    },
    {
      name: 'servers-hold-no-model',
      comment: 'Intelligence lives on the laptop: no key, no model SDK and no LLM loop in the colony or the agents.',
      severity: 'error',
      from: { path: '^apps/(colony|agent)/' },
      to: { path: '^libs/llm/|node_modules/(@anthropic-ai|openai|@google/genai|ollama)/' },
    },
    {
      name: 'servers-hold-no-model-through-libs',
      comment: 'The same by any way round.',
      severity: 'error',
      from: { path: '^apps/(colony|agent)/' },
      to: { path: '^libs/llm/', reachable: true },
    },
    {
      name: 'model-sdks-only-in-llm',
      comment: 'One file per provider in libs/llm; nobody else may hold a key.',
      severity: 'error',
      from: { pathNot: '^libs/llm/|^e2e/' },
      to: { path: 'node_modules/(@anthropic-ai|openai|@google/genai|ollama)/' },
    },
    {
      name: 'mcp-sdk-behind-one-adapter-each-side',
      comment: 'One file serves MCP, one lib speaks it; the rest of the code does not know whose SDK that is.',
      severity: 'error',
      from: {
        path: '^(apps|libs)/',
        pathNot: `${spec}|^apps/colony/src/mcp/mcp-adapter\\.ts$|^libs/mcp-client/|/testing/`,
      },
      to: { path: 'node_modules/@modelcontextprotocol/' },
    },
    {
      name: 'cli-never-opens-duckdb',
      comment: 'The laptop never opens telemetry files; it asks the colony, which checks and audits.',
      severity: 'error',
      from: { path: '^apps/cli/' },
      to: { path: '^libs/(telemetry-store|sql-gate)/|node_modules/@duckdb/' },
    },
    {
      name: 'cli-reaches-duckdb-through-nothing',
      comment:
        'The same by any way round. `audit verify` reads segments only; it meets the index, which libs/audit imports dynamically, by name alone.',
      severity: 'error',
      from: { path: '^apps/cli/', pathNot: '^apps/cli/src/commands/audit/verify\\.ts$' },
      to: { path: 'node_modules/@duckdb/', reachable: true },
    },
    {
      name: 'policy-is-not-the-cli’s-business',
      comment: 'Permissions are decided at the colony, at call time.',
      severity: 'error',
      from: { path: '^apps/cli/' },
      to: { path: '^libs/(policy|tool-path)/' },
    },
    {
      name: 'agents-decide-nothing',
      comment: 'RBAC and audit have one place, the colony.',
      severity: 'error',
      from: { path: '^apps/agent/' },
      to: { path: '^libs/(policy|audit|tool-path)/' },
    },
    {
      name: 'core-does-no-io',
      comment:
        'Cores take packets, clock and random bytes as arguments and give effects back, so that tests can turn time.',
      severity: 'error',
      from: { path: `^libs/(${core})/src/`, pathNot: `${spec}|^libs/policy/src/policy-file\\.ts$` },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    {
      name: 'core-imports-no-io-lib',
      comment: 'See above.',
      severity: 'error',
      from: { path: `^libs/(${core})/src/`, pathNot: spec },
      to: { path: `^libs/(${io})/`, pathNot: '^libs/config/' },
    },
    {
      name: 'floor-imports-nothing-above',
      comment: 'Everybody stands on errors and model.',
      severity: 'error',
      from: { path: '^libs/(errors|model)/src/' },
      to: { path: '^libs/', pathNot: '^libs/(errors|model)/' },
    },
    {
      name: 'enter-by-the-front-door',
      comment: 'Each lib names its exports in index.ts; what is not there may change without notice.',
      severity: 'error',
      from: { path: '^(apps|libs|e2e|scripts)/([^/]+)/' },
      to: { path: '^libs/[^/]+/src/(?!index\\.ts$)', pathNot: ['^libs/$2/'] },
    },
    {
      name: 'rooms-of-the-colony-know-no-other',
      comment: 'rbac, audit and mesh stand alone, so that nothing can go round the tool path.',
      severity: 'error',
      from: { path: '^apps/colony/src/(rbac|audit|mesh)/' },
      to: { path: '^apps/colony/src/(?!(rbac|audit|mesh)/)[^/]+/', pathNot: '^apps/colony/src/edge/' },
    },
    {
      name: 'fakes-stay-in-specs',
      comment: 'A fake in the product is a defect.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: `${spec}|^libs/testing/` },
      to: { path: '^libs/testing/|\\.spec\\.ts$' },
    },
    {
      name: 'product-needs-no-dev-dependency',
      comment: 'The image is installed without dev dependencies.',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: `${spec}|^libs/testing/` },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere hides from every other rule.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'libs/rpc/src/gen' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'require', 'default', 'types'],
    },
  },
};

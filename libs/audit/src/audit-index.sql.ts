import { beforeGenesis } from './audit-row.js';

/** Another number here makes every index be rebuilt when it is next opened. */
export const schemaVersion = 1;

/** Written in `error_message` of a call whose intent was recorded and whose outcome was not: the colony died under it. */
export const noOutcome = 'no outcome recorded';

/**
 * RFD 028's tables, column by column; `ip_address` is text because DuckDB's inet type is an extension. An empty `user_id`
 * means that nobody was verified. The `audit_index_*` tables are our own bookkeeping.
 */
export const createTables = `
CREATE TABLE ephemeral_agent_audit (
    id          UUID PRIMARY KEY,
    timestamp   TIMESTAMPTZ NOT NULL,
    user_id     VARCHAR     NOT NULL,
    agent_id    VARCHAR     NOT NULL,
    action      VARCHAR     NOT NULL,
    ttl_seconds INTEGER,
    ip_address  VARCHAR,
    user_agent  VARCHAR
);
CREATE TABLE mcp_tool_audit (
    id                  UUID PRIMARY KEY,
    timestamp           TIMESTAMPTZ NOT NULL,
    user_id             VARCHAR     NOT NULL,
    agent_id            VARCHAR,
    tool_name           VARCHAR     NOT NULL,
    tool_args           JSON,
    response_size_bytes INTEGER,
    success             BOOLEAN     NOT NULL,
    error_message       TEXT,
    execution_time_ms   INTEGER
);
CREATE TABLE ask_transcripts (
    id            UUID PRIMARY KEY,
    timestamp     TIMESTAMPTZ NOT NULL,
    user_id       VARCHAR     NOT NULL,
    agent_id      VARCHAR,
    question      TEXT        NOT NULL,
    answer        TEXT,
    llm_provider  VARCHAR,
    llm_model     VARCHAR,
    tool_calls    JSON,
    tokens_input  INTEGER,
    tokens_output INTEGER
);
CREATE TABLE audit_index_staged (
    seq BIGINT, id VARCHAR, timestamp TIMESTAMPTZ, kind VARCHAR, user_id VARCHAR, agent_id VARCHAR, payload JSON
);
CREATE TABLE audit_index_open_intents (seq BIGINT, id UUID);
CREATE TABLE audit_index_position (
    version INTEGER, ordinal INTEGER, "offset" BIGINT, line BIGINT, seq BIGINT, hash VARCHAR
);
INSERT INTO audit_index_position VALUES (${schemaVersion}, 1, 0, 1, ${beforeGenesis.seq}, '${beforeGenesis.hash}');
`;

const errorMessage = `CASE WHEN s.payload->>'outcome' = 'ok' THEN NULL
    ELSE coalesce(s.payload->>'error_message', s.payload->>'error_reason', s.payload->>'outcome') END`;
const success = `coalesce(s.payload->>'outcome' = 'ok', false)`;
const size = `try_cast(s.payload->>'response_size_bytes' AS INTEGER)`;
const elapsed = `try_cast(s.payload->>'execution_time_ms' AS INTEGER)`;

/**
 * Staged rows into the tables. A tool call is one row: its intent, completed by the outcome that names it (in this batch or
 * a later one); a call refused before there was an intent has its outcome only.
 */
export const mergeStaged = `
INSERT INTO ephemeral_agent_audit
SELECT s.id::UUID, s.timestamp, s.user_id, coalesce(s.agent_id, ''), s.kind[11:],
    try_cast(s.payload->>'ttl_seconds' AS INTEGER), s.payload->>'ip_address', s.payload->>'user_agent'
FROM audit_index_staged s WHERE starts_with(s.kind, 'ephemeral.');

INSERT INTO mcp_tool_audit
SELECT s.id::UUID, s.timestamp, s.user_id, s.agent_id, coalesce(s.payload->>'tool_name', ''), s.payload->'tool_args',
    NULL, false, '${noOutcome}', NULL
FROM audit_index_staged s WHERE s.kind = 'tool_call.intent';

INSERT INTO audit_index_open_intents
SELECT s.seq, s.id::UUID FROM audit_index_staged s WHERE s.kind = 'tool_call.intent';

UPDATE mcp_tool_audit m
SET response_size_bytes = ${size}, success = ${success}, error_message = ${errorMessage}, execution_time_ms = ${elapsed}
FROM audit_index_staged s, audit_index_open_intents i
WHERE s.kind = 'tool_call.outcome' AND i.seq = try_cast(s.payload->>'intent_seq' AS BIGINT) AND m.id = i.id;

INSERT INTO mcp_tool_audit
SELECT s.id::UUID, s.timestamp, s.user_id, s.agent_id, coalesce(s.payload->>'tool_name', ''), s.payload->'tool_args',
    ${size}, ${success}, ${errorMessage}, ${elapsed}
FROM audit_index_staged s
WHERE s.kind = 'tool_call.outcome' AND try_cast(s.payload->>'intent_seq' AS BIGINT) IS NULL;

DELETE FROM audit_index_open_intents
WHERE seq IN (
    SELECT try_cast(s.payload->>'intent_seq' AS BIGINT) FROM audit_index_staged s WHERE s.kind = 'tool_call.outcome'
);

INSERT INTO ask_transcripts
SELECT s.id::UUID, s.timestamp, s.user_id, s.agent_id, coalesce(s.payload->>'question', ''), s.payload->>'answer',
    s.payload->>'llm_provider', s.payload->>'llm_model', s.payload->'tool_calls',
    try_cast(s.payload->>'tokens_input' AS INTEGER), try_cast(s.payload->>'tokens_output' AS INTEGER)
FROM audit_index_staged s WHERE s.kind = 'ask.transcript';

DELETE FROM audit_index_staged;
`;

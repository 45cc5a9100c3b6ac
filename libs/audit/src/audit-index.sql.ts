import { beforeGenesis } from './audit-row.js';

/** Another number here makes every index be rebuilt when it is next opened. */
export const schemaVersion = 2;

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
CREATE TABLE audit_index_late_ends (
    intent_seq BIGINT, response_size_bytes INTEGER, success BOOLEAN, error_message VARCHAR, execution_time_ms INTEGER
);
CREATE TABLE audit_index_open_intents (seq BIGINT, id UUID);
CREATE TABLE audit_index_position (
    version INTEGER, ordinal INTEGER, "offset" BIGINT, line BIGINT, seq BIGINT, hash VARCHAR
);
INSERT INTO audit_index_position VALUES (${schemaVersion}, 1, 0, 1, ${beforeGenesis.seq}, '${beforeGenesis.hash}');
`;

/** Completes the calls whose intent was taken in earlier than their outcome. */
export const applyLateEnds = `
UPDATE mcp_tool_audit m
SET response_size_bytes = l.response_size_bytes, success = l.success, error_message = l.error_message,
    execution_time_ms = l.execution_time_ms
FROM audit_index_late_ends l, audit_index_open_intents i
WHERE i.seq = l.intent_seq AND m.id = i.id;

DELETE FROM audit_index_open_intents WHERE seq IN (SELECT intent_seq FROM audit_index_late_ends);

DELETE FROM audit_index_late_ends;
`;

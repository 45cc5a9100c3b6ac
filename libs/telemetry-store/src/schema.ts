/**
 * Times are milliseconds since the Unix epoch in BIGINT: exact, and no time zone can creep in. Names end in `_ms`, `_ns`.
 * There are no indexes: rows arrive in time order, so zone maps prune by time, and an index would make every commit slower.
 */
export const schemaSql: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS service_window (
    agent_id VARCHAR NOT NULL, service VARCHAR NOT NULL, version VARCHAR NOT NULL, route VARCHAR NOT NULL,
    start_ms BIGINT NOT NULL, length_ms INTEGER NOT NULL, requests BIGINT NOT NULL, errors BIGINT NOT NULL,
    zero_count BIGINT NOT NULL, sum_ns DOUBLE NOT NULL, min_ns DOUBLE NOT NULL, max_ns DOUBLE NOT NULL,
    buckets INTEGER[] NOT NULL, counts BIGINT[] NOT NULL,
    p50_ms DOUBLE, p95_ms DOUBLE, p99_ms DOUBLE)`,
  `CREATE TABLE IF NOT EXISTS edge_window (
    agent_id VARCHAR NOT NULL, service VARCHAR NOT NULL, kind VARCHAR NOT NULL, address VARCHAR NOT NULL,
    system VARCHAR NOT NULL, name VARCHAR NOT NULL,
    start_ms BIGINT NOT NULL, length_ms INTEGER NOT NULL, requests BIGINT NOT NULL, errors BIGINT NOT NULL,
    zero_count BIGINT NOT NULL, sum_ns DOUBLE NOT NULL, min_ns DOUBLE NOT NULL, max_ns DOUBLE NOT NULL,
    buckets INTEGER[] NOT NULL, counts BIGINT[] NOT NULL,
    p50_ms DOUBLE, p95_ms DOUBLE, p99_ms DOUBLE)`,
  // Halves of calls that wait for their other half.
  `CREATE TABLE IF NOT EXISTS link (
    call_id VARCHAR NOT NULL, side VARCHAR NOT NULL, service VARCHAR NOT NULL, address VARCHAR NOT NULL,
    at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS peer (
    from_service VARCHAR NOT NULL, address VARCHAR NOT NULL, to_service VARCHAR NOT NULL,
    first_seen_ms BIGINT NOT NULL, last_seen_ms BIGINT NOT NULL, calls BIGINT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS instance (
    agent_id VARCHAR NOT NULL, service VARCHAR NOT NULL, version VARCHAR NOT NULL, instance VARCHAR NOT NULL,
    host VARCHAR NOT NULL, first_seen_ms BIGINT NOT NULL, last_seen_ms BIGINT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS event (
    at_ms BIGINT NOT NULL, type VARCHAR NOT NULL, service VARCHAR NOT NULL, summary VARCHAR NOT NULL,
    version VARCHAR NOT NULL, previous_version VARCHAR NOT NULL, instance VARCHAR NOT NULL, host VARCHAR NOT NULL,
    agent_id VARCHAR NOT NULL, reason VARCHAR NOT NULL)`,
  // Who answers what, without reading the windows.
  `CREATE TABLE IF NOT EXISTS service_seen (
    service VARCHAR NOT NULL, agent_id VARCHAR NOT NULL, last_seen_ms BIGINT NOT NULL, last_answered_ms BIGINT)`,
  // Which batches are in: all up to contiguous_seq, and those in batch_ahead.
  `CREATE TABLE IF NOT EXISTS outbox (
    agent_id VARCHAR NOT NULL, epoch VARCHAR NOT NULL, contiguous_seq BIGINT NOT NULL, resync BOOLEAN NOT NULL,
    last_received_ms BIGINT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS batch_ahead (agent_id VARCHAR NOT NULL, epoch VARCHAR NOT NULL, seq BIGINT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS agent_report (
    agent_id VARCHAR NOT NULL, last_received_ms BIGINT NOT NULL, covered_to_ms BIGINT NOT NULL,
    skew_ms BIGINT NOT NULL, clamped_rows BIGINT NOT NULL, last_clamped_ms BIGINT NOT NULL,
    refused_rows BIGINT NOT NULL, last_refused_ms BIGINT NOT NULL, last_refused_reason VARCHAR NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS store_fact (name VARCHAR NOT NULL, value VARCHAR NOT NULL)`,
];

/**
 * What a stranger's SQL may use. Everything else is refused: a function joins these lists only after a look at what it
 * reads (nothing but its arguments) and what it can cost (its result is bounded by its input). Left out on purpose:
 * repeat, lpad, rpad, format, printf, range, generate_series, list_transform, levenshtein, json_structure, query,
 * query_table, current_setting, getvariable, json_execute_serialized_sql and all of their kind.
 */
const aggregates = `
  any_value approx_count_distinct approx_quantile arg_max arg_min argmax argmin avg bit_and bit_or bool_and bool_or
  corr count count_if count_star countif covar_pop covar_samp entropy favg first fsum geomean kurtosis last mad max
  max_by mean median min min_by mode product quantile quantile_cont quantile_disc regr_intercept regr_r2 regr_slope
  reservoir_quantile skewness stddev stddev_pop stddev_samp string_agg sum sumkahan var_pop var_samp variance
  group_concat listagg`;

const windows = `
  cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number`;

const operators = `
  + - * / % // ** ^ || ~~ !~~ ~~* !~~* ~~~ -> ->> & | << >> ! @>`;

const numbers = `
  abs add ceil ceiling divide even exp floor greatest isfinite isinf isnan least ln log log10 log2 mod multiply negate
  pow power round sign sqrt subtract trunc`;

const texts = `
  ascii bit_length chr concat concat_ws contains ends_with hash ilike_escape instr left lcase length len like_escape
  lower ltrim md5 not_ilike_escape not_like_escape nullif ord position prefix regexp_extract regexp_extract_all
  regexp_full_match regexp_matches regexp_replace replace reverse right rtrim sha256 split split_part starts_with
  str_split string_split strip_accents strlen strpos substr substring substring_grapheme suffix to_base64 translate
  trim ucase unicode upper url_decode`;

const times = `
  age century current_date current_timestamp date_add date_diff date_part date_sub date_trunc datediff datepart
  datesub datetrunc day dayname dayofmonth dayofweek dayofyear decade epoch epoch_ms epoch_ns epoch_us get_current_timestamp
  hour isodow isoyear last_day make_date make_timestamp make_timestamp_ms make_timestamp_ns microsecond millisecond
  minute month monthname now quarter second strftime strptime time_bucket timezone to_days to_hours to_microseconds
  to_milliseconds to_minutes to_months to_seconds to_timestamp to_weeks to_years today transaction_timestamp
  try_strptime week weekday weekofyear year yearweek`;

const lists = `
  array_contains array_extract array_has array_length array_position array_slice cardinality list_any_value list_avg
  list_contains list_count list_distinct list_element list_extract list_first list_has list_last list_max list_min
  list_position list_slice list_sort list_sum list_unique list_value map_contains map_entries map_extract map_keys
  map_values row struct_extract struct_pack unnest element_at`;

const json = `
  json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
  json_extract_string json_keys json_type json_valid json_value`;

const others = `
  coalesce constant_or_null if ifnull typeof`;

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

export const allowedFunctions: ReadonlySet<string> = new Set(
  [aggregates, windows, operators, numbers, texts, times, lists, json, others].flatMap(words),
);

/** Table functions: the one whose rows are its argument's elements. */
export const allowedTableFunctions: ReadonlySet<string> = new Set(['unnest']);

/** Expression classes of DuckDB's parsed tree. Missing: LAMBDA, PARAMETER, DEFAULT, BOUND_*. */
export const allowedExpressionClasses: ReadonlySet<string> = new Set([
  'BETWEEN',
  'CASE',
  'CAST',
  'COLLATE',
  'COLUMN_REF',
  'COMPARISON',
  'CONJUNCTION',
  'CONSTANT',
  'FUNCTION',
  'OPERATOR',
  'POSITIONAL_REFERENCE',
  'STAR',
  'SUBQUERY',
  'WINDOW',
]);

/** Query nodes, table references and modifiers. Missing: RECURSIVE_CTE_NODE, SHOW_REF, PIVOT, COLUMN_DATA, BOUND_*. */
export const allowedNodeTypes: ReadonlySet<string> = new Set([
  'SELECT_NODE',
  'SET_OPERATION_NODE',
  'BASE_TABLE',
  'EMPTY',
  'EXPRESSION_LIST',
  'JOIN',
  'SUBQUERY',
  'TABLE_FUNCTION',
  'ORDER_MODIFIER',
  'LIMIT_MODIFIER',
  'LIMIT_PERCENT_MODIFIER',
  'DISTINCT_MODIFIER',
  'ORDER_DEFAULT',
  'ASCENDING',
  'DESCENDING',
]);

/** Types a value may be cast to, by DuckDB's type id, or by name where the tree leaves them unbound. */
export const allowedTypes: ReadonlySet<string> = new Set(
  words(`
    BIGINT BLOB BOOLEAN DATE DECIMAL DOUBLE FLOAT HUGEINT INTEGER INTERVAL JSON LIST SMALLINT TIME TIMESTAMP
    TIMESTAMP_MS TIMESTAMP_NS TIMESTAMP_S TIMESTAMP_SEC TIMESTAMPTZ TINYINT UBIGINT UHUGEINT UINTEGER USMALLINT
    UTINYINT UUID VARCHAR NULL INT TEXT STRING BOOL REAL NUMERIC INT1 INT2 INT4 INT8 FLOAT4 FLOAT8 DATETIME LONG SHORT`).concat(
    ['TIMESTAMP WITH TIME ZONE'],
  ),
);

export const gateLimits = {
  /** Bytes of SQL text; checked before anything parses it. */
  maxSqlBytes: 32_768,
  maxJoins: 6,
  /** Nesting of the parsed tree. */
  maxDepth: 200,
  maxTreeNodes: 20_000,
} as const;

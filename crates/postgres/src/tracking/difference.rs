//! What to send to a backend that holds other settings than it should.
//!
//! One simple query, ahead of the client's message. Whether its answer must be seen first depends on what it sets: a value that a server
//! has taken once is mostly taken again. Roles are left before and taken after everything else.

use super::lists::{QUOTE_ALL, is_list_of_names, makes_list};
use super::{AUTHORIZATION, DATESTYLE, ENCODING, ROLE, is_identity};
use crate::sql::{is_keyword, quote_identifier, quote_literal};
use forebay_core::settings::{Map, Settings, Value};

/// Settings whose value, once a server has taken it, it takes again: they may travel in the same write as the client's message.
/// Of those that any user may change (`pg_settings.context`), all numbers, switches and choices of PostgreSQL 15 to 18, but for a few of
/// the connection itself and `temp_buffers`, and texts that name nothing which may be dropped. All others are waited for: extensions'
/// settings, roles, tablespaces, what a superuser may grant and revoke.
pub(super) const INFALLIBLE: &[&str] = &[
    "application_name",
    "array_nulls",
    "backend_flush_after",
    "backslash_quote",
    "bytea_output",
    "check_function_bodies",
    "client_encoding",
    "client_min_messages",
    "commit_siblings",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "createrole_self_grant",
    "cursor_tuple_fraction",
    "datestyle",
    "debug_logical_replication_streaming",
    "debug_parallel_query",
    "debug_pretty_print",
    "debug_print_parse",
    "debug_print_plan",
    "debug_print_rewritten",
    "default_statistics_target",
    "default_toast_compression",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_async_append",
    "enable_bitmapscan",
    "enable_distinct_reordering",
    "enable_gathermerge",
    "enable_group_by_reordering",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_partition_pruning",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "enable_presorted_aggregate",
    "enable_self_join_elimination",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
    "escape_string_warning",
    "extra_float_digits",
    "file_copy_method",
    "force_parallel_mode",
    "from_collapse_limit",
    "geqo",
    "geqo_effort",
    "geqo_generations",
    "geqo_pool_size",
    "geqo_seed",
    "geqo_selection_bias",
    "geqo_threshold",
    "gin_fuzzy_search_limit",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "icu_validation_level",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "io_combine_limit",
    "jit",
    "jit_above_cost",
    "jit_expressions",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "jit_tuple_deforming",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "log_parameter_max_length_on_error",
    "logical_decoding_work_mem",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "md5_password_warnings",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "password_encryption",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "recursive_worktable_factor",
    "restrict_nonsystem_relation_kind",
    "row_security",
    "scram_iterations",
    "search_path",
    "seq_page_cost",
    "standard_conforming_strings",
    "statement_timeout",
    "stats_fetch_consistency",
    "synchronize_seqscans",
    "synchronous_commit",
    "timezone",
    "trace_notify",
    "trace_sort",
    "transaction_timeout",
    "transform_null_equals",
    "vacuum_buffer_usage_limit",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "vacuum_cost_page_dirty",
    "vacuum_cost_page_hit",
    "vacuum_cost_page_miss",
    "vacuum_failsafe_age",
    "vacuum_freeze_min_age",
    "vacuum_freeze_table_age",
    "vacuum_max_eager_freeze_failure_rate",
    "vacuum_multixact_failsafe_age",
    "vacuum_multixact_freeze_min_age",
    "vacuum_multixact_freeze_table_age",
    "vacuum_truncate",
    "wal_skip_threshold",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Another session's, they would end what is sent here.
const TIMEOUTS: &[&str] = &["statement_timeout", "transaction_timeout"];

/// A difference to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Statements, each ended by a semicolon.
    pub(super) sql: String,
    /// Whether the answer must be seen before anything else is sent.
    pub(super) wait: bool,
}

/// Everything that a session may leave behind, short of prepared statements, which have names of our own.
/// (`DISCARD ALL` cannot run together with other statements.)
pub(super) const RESET: &str = "CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL;UNLISTEN *;\
    SELECT pg_catalog.pg_advisory_unlock_all();DISCARD TEMP;DISCARD SEQUENCES;";

/// What a backend is known to hold.
#[derive(Debug, Clone, Copy)]
pub struct There<'a> {
    /// Its label.
    pub settings: &'a Settings,
    /// It may hold anything else besides.
    pub in_doubt: bool,
    /// What is run on it behind each reset; empty for nothing.
    pub init_query: &'a str,
    /// Whether it is known to read UTF-8.
    pub reads_utf8: bool,
    /// Custom settings that it has never heard of and that the session has set and reset: to the session they are empty, not absent.
    pub lacks: &'a [&'a str],
}

/// Queries to send, one by one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Their texts.
    pub queries: Vec<String>,
    /// Whether the answers must be seen before anything else is sent.
    pub wait: bool,
    /// Further ones, which may fail: then it is as if they had not been sent.
    pub attempts: Vec<String>,
}

/// Has the next query read as UTF-8. It must be read itself before: a query is converted as a whole.
pub const READ_UTF8: &str = "SET client_encoding TO 'UTF8'";

/// What to send to a backend so that it holds `to`; nothing if it does.
pub fn replay(there: There<'_>, to: &Settings) -> Replay {
    let (from, to) = (there.settings.map(), to.map());
    let mut replay = Replay::default();
    let initialized = !there.init_query.is_empty();
    let reset = there.in_doubt || (initialized && takes_away(from, to));
    if reset && initialized {
        replay.queries = vec![RESET.to_owned(), there.init_query.to_owned()];
        replay.wait = true;
        push_difference(&mut replay, &Map::new(), to, false, false);
    } else {
        push_difference(&mut replay, from, to, reset, there.reads_utf8);
    }
    // Neither are they in the difference, nor are they read before it. A library that was loaded since may have reserved the prefix.
    replay.attempts = there.lacks.iter().map(|name| mention(name)).collect();
    replay.wait |= !replay.attempts.is_empty();
    replay
}

/// Has a server know a custom setting without a value.
fn mention(name: &str) -> String {
    let mut sql = "RESET ".to_owned();
    push_name(&mut sql, name);
    sql
}

/// Whether something would be set to the database's default, which an initialization query may have replaced by its own.
fn takes_away(from: &Map, to: &Map) -> bool {
    let has_identity = from.keys().chain(to.keys()).any(|name| is_identity(name));
    let date_styles = [from.get(DATESTYLE), to.get(DATESTYLE)];
    from.keys().any(|name| !to.contains_key(name))
        || (has_identity && from != to)
        || (date_styles[0].is_some() && date_styles[0] != date_styles[1])
}

fn push_difference(replay: &mut Replay, from: &Map, to: &Map, reset: bool, reads_utf8: bool) {
    let Some(found) = difference(from, to, reset) else {
        return;
    };
    replay.wait |= found.wait;
    if found.sql.is_ascii() || reads_utf8 {
        return replay.queries.push(found.sql);
    }
    let mut from = from.clone();
    from.insert(ENCODING.into(), Value::Sql("'UTF8'".into()));
    replay.queries.push(READ_UTF8.to_owned());
    let found = difference(&from, to, reset);
    replay.queries.extend(found.map(|found| found.sql));
}

/// What to send to a backend that holds `from` so that it holds `to`; `None` when that is nothing. With `reset`, what the backend
/// holds is not known.
pub(super) fn difference(from: &Map, to: &Map, reset: bool) -> Option<Difference> {
    let mut sql = String::new();
    let identity = |map: &Map| [AUTHORIZATION, ROLE].map(|name| map.get(name).cloned());
    // Under a lesser user some settings cannot be changed: change them as the login user, then become the other one.
    let new_identity = reset || identity(from) != identity(to);
    let lesser = identity(from) != [None, None];
    for name in TIMEOUTS {
        if from.contains_key(*name) && (reset || from.get(*name) != to.get(*name)) {
            push_set(&mut sql, name, &Value::Sql("0".into()));
        }
    }
    if reset {
        sql.push_str(RESET);
    } else if new_identity || lesser {
        sql.push_str("SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;");
    }
    if !reset {
        for name in from
            .keys()
            .filter(|name| !to.contains_key(*name) && !is_identity(name))
        {
            push_reset(&mut sql, name);
        }
    }
    let quotes_anew = !reset && from.contains_key(QUOTE_ALL) && makes_list(from, to);
    if quotes_anew && to.contains_key(QUOTE_ALL) {
        push_reset(&mut sql, QUOTE_ALL);
    }
    let mut wait = false;
    // Lists of names are put together before it is set how.
    let first = to
        .iter()
        .filter(|(name, _)| !is_identity(name) && ***name != *QUOTE_ALL);
    for (name, value) in first.chain(to.get_key_value(QUOTE_ALL)) {
        let is_lost = quotes_anew && **name == *QUOTE_ALL;
        if reset || is_lost || from.get(name) != Some(value) {
            if **name == *DATESTYLE && !reset && from.contains_key(name) {
                sql.push_str("RESET datestyle;");
            }
            wait |= INFALLIBLE.binary_search(&&**name).is_err();
            push_set(&mut sql, name, value);
        }
    }
    if new_identity || lesser {
        for name in [AUTHORIZATION, ROLE] {
            if let Some(value) = to.get(name) {
                wait = true;
                push_set(&mut sql, name, value);
            }
        }
    }
    (!sql.is_empty()).then_some(Difference { sql, wait })
}

fn push_reset(sql: &mut String, name: &str) {
    sql.push_str("RESET ");
    push_name(sql, name);
    sql.push(';');
}

pub(super) fn push_set(sql: &mut String, name: &str, value: &Value) {
    match value {
        Value::Sql(text) if name == AUTHORIZATION => {
            sql.push_str("SET SESSION AUTHORIZATION ");
            sql.push_str(text);
        }
        Value::Sql(text) => {
            sql.push_str("SET ");
            push_name(sql, name);
            sql.push_str(" TO ");
            sql.push_str(text);
        }
        Value::Literal(text) if !is_list_of_names(name) => {
            sql.push_str("SET ");
            push_name(sql, name);
            sql.push_str(" TO ");
            sql.push_str(&quote_literal(text));
        }
        // SET would take a value like `a, b` for one name.
        Value::Literal(text) => {
            sql.push_str("SELECT pg_catalog.set_config(");
            sql.push_str(&quote_literal(name));
            sql.push(',');
            sql.push_str(&quote_literal(text));
            sql.push_str(",false)");
        }
    }
    sql.push(';');
}

/// Writes a setting's name; the parts of a dotted one are quoted one by one.
fn push_name(sql: &mut String, name: &str) {
    let plain = |part: &str| {
        let head = part
            .as_bytes()
            .first()
            .is_some_and(|&first| first.is_ascii_lowercase() || first == b'_');
        head && part
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            sql.push('.');
        }
        // `role`, `timezone` and others are words of the grammar only in places where no name stands; what a client calls the parts of
        // its own may be any.
        let is_word = name.contains('.') && is_keyword(part);
        if plain(part) && !is_word {
            sql.push_str(part)
        } else {
            sql.push_str(&quote_identifier(part))
        }
    }
}

//! The words of SQL that matter here: which are keywords, which functions of the server leave the session alone, and
//! which pin. One table, hashed at compile time, serves all three questions.
//!
//! The keywords are those of PostgreSQL 14 to 18 (`pg_get_keywords()`). The functions are those of `pg_catalog` that
//! neither change session state, nor run SQL given as text, nor call back into code of the user's making as their
//! purpose. A function the user made under the name of one of these is taken for the server's own.

use forebay_core::PinReason;

/// Keywords that never name a function: reserved ones, and those that open a construct of the grammar.
/// (Words that became such after version 15 are not among them: older servers let a function be named so.)
const NEVER_FUNCTIONS: &str = "\
        all analyse analyze and any array as asc asymmetric both case cast check collate column constraint \
    create      current_catalog current_date current_role current_time current_timestamp current_user default \
    deferrable      desc distinct do else end except false fetch for foreign from grant group having in \
    initially intersect into      lateral leading limit localtime localtimestamp not null offset on only or \
    order placing primary references      returning select session_user some symmetric table then to trailing \
    true union unique user using variadic      when where window with     between bigint bit boolean char \
    character coalesce dec decimal exists extract float greatest grouping inout      int integer interval least \
    national nchar none normalize nullif numeric out overlay position precision real      row setof smallint \
    substring time timestamp trim values varchar xmlattributes xmlconcat xmlelement xmlexists      xmlforest \
    xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable";

/// All other keywords. Each may also name a function, a column, a table …
const OTHER_KEYWORDS: &str = "\
        abort absent absolute access action add admin after aggregate also alter always asensitive assertion \
    assignment at atomic attach attribute authorization backward before begin binary breadth by cache call \
    called cascade cascaded catalog chain characteristics checkpoint class close cluster collation columns \
    comment comments commit committed compression concurrently conditional configuration conflict connection \
    constraints content continue conversion copy cost cross csv cube current current_schema cursor cycle data \
    database day deallocate declare defaults deferred definer delete delimiter delimiters depends depth detach \
    dictionary disable discard document domain double drop each empty enable encoding encrypted enforced enum \
    error escape event exclude excluding exclusive execute explain expression extension external family filter \
    finalize first following force format forward freeze full function functions generated global granted groups \
    handler header hold hour identity if ilike immediate immutable implicit import include including increment \
    indent index indexes inherit inherits inline inner input insensitive insert instead invoker is isnull \
    isolation join json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar \
    json_serialize json_table json_value keep key keys label language large last leakproof left level like \
    listen load local location lock locked logged mapping match matched materialized maxvalue merge merge_action \
    method minute minvalue mode month move name names natural nested new next nfc nfd nfkc nfkd no normalized \
    nothing notify notnull nowait nulls object objects of off oids old omit operator option options ordinality \
    others outer over overlaps overriding owned owner parallel parameter parser partial partition passing \
    password path period plan plans policy preceding prepare prepared preserve prior privileges procedural \
    procedure procedures program publication quote quotes range read reassign recheck recursive ref referencing \
    refresh reindex relative release rename repeatable replace replica reset restart restrict return returns \
    revoke right role rollback rollup routine routines rows rule savepoint scalar schema schemas scroll search \
    second security sequence sequences serializable server session set sets share show similar simple skip \
    snapshot source sql stable standalone start statement statistics stdin stdout storage stored strict string \
    strip subscription support sysid system system_user tables tablesample tablespace target temp template \
    temporary text ties transaction transform treat trigger truncate trusted type types uescape unbounded \
    uncommitted unconditional unencrypted unknown unlisten unlogged until update vacuum valid validate validator \
    value varying verbose version view views virtual volatile whitespace within without work wrapper write xml \
    year yes zone";

/// Functions of the server whose call leaves the session as it was, and types, since `numeric(3)` looks like a call.
///
/// Only such as version 15 has: the name of a later one (`uuidv7`, `crc32`, `any_value`, `json_value`) is as likely that of a function
/// which somebody made because the server had none. Names that begin with `pg_` are the server's.
const HARMLESS_FUNCTIONS: &str = "\
    abbrev abs acos acosd acosh age array_agg array_append array_cat array_dims array_fill array_length \
    array_lower array_ndims array_position array_positions array_prepend array_remove array_replace \
    array_to_json array_to_string array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avg bit_and \
    bit_count bit_length bit_or bit_xor bool bool_and bool_or bpchar btrim bytea cardinality cbrt ceil ceiling \
    char_length character_length chr cidr clock_timestamp col_description concat concat_ws convert convert_from \
    convert_to corr cos cosd cosh cot cotd count covar_pop covar_samp cume_dist current_database current_query \
    current_schema current_schemas current_setting date date_bin date_part date_trunc datemultirange daterange \
    decode degrees dense_rank div encode enum_first enum_last enum_range every exp factorial first_value float4 \
    float8 floor format format_type gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte \
    get_current_ts_config getdatabaseencoding has_any_column_privilege has_column_privilege \
    has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege \
    has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege \
    has_tablespace_privilege has_type_privilege host hostmask inet_client_addr inet_client_port inet_server_addr \
    inet_server_port initcap int2 int4 int4multirange int4range int8 int8multirange int8range is_normalized \
    isfinite json_agg json_array_elements json_array_elements_text json_array_length json_build_array \
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object \
    json_object_agg json_object_keys json_populate_record json_populate_recordset json_strip_nulls \
    json_to_record json_to_recordset json_to_tsvector json_typeof jsonb_agg jsonb_array_elements \
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_concat \
    jsonb_contained jsonb_contains jsonb_delete jsonb_delete_path jsonb_each jsonb_each_text jsonb_exists \
    jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object \
    jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match \
    jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first \
    jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_pretty \
    jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof \
    justify_days justify_hours justify_interval lag last_value lcm lead left length like ln log log10 lower \
    lower_inc lower_inf lpad ltrim macaddr macaddr8 macaddr8_set7bit make_date make_interval make_time \
    make_timestamp make_timestamptz masklen max md5 min min_scale mod mode multirange mxid_age netmask network \
    now nth_value ntile num_nonnulls num_nulls nummultirange numrange obj_description octet_length \
    oidvectortypes overlaps parse_ident percent_rank percentile_cont percentile_disc pg_advisory_xact_lock \
    pg_advisory_xact_lock_shared pg_backend_pid pg_basetype pg_blocking_pids pg_char_to_encoding \
    pg_client_encoding pg_collation_actual_version pg_collation_for pg_collation_is_visible \
    pg_column_compression pg_column_is_updatable pg_column_size pg_column_toast_chunk_id pg_conf_load_time \
    pg_conversion_is_visible pg_current_snapshot pg_current_wal_flush_lsn pg_current_wal_insert_lsn \
    pg_current_wal_lsn pg_current_xact_id pg_current_xact_id_if_assigned pg_database_size pg_describe_object \
    pg_encoding_max_length pg_encoding_to_char pg_filenode_relation pg_function_is_visible pg_get_acl \
    pg_get_constraintdef pg_get_expr pg_get_function_arg_default pg_get_function_arguments \
    pg_get_function_identity_arguments pg_get_function_result pg_get_function_sqlbody pg_get_functiondef \
    pg_get_indexdef pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef \
    pg_get_replica_identity_index pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef \
    pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid \
    pg_get_viewdef pg_has_role pg_identify_object pg_identify_object_as_address pg_index_column_has_property \
    pg_index_has_property pg_indexam_has_property pg_indexes_size pg_input_error_info pg_input_is_valid \
    pg_is_in_recovery pg_is_other_temp_schema pg_is_wal_replay_paused pg_jit_available pg_last_wal_receive_lsn \
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status pg_lsn pg_my_temp_schema \
    pg_notification_queue_usage pg_notify pg_numa_available pg_opclass_is_visible pg_operator_is_visible \
    pg_opfamily_is_visible pg_partition_ancestors pg_partition_root pg_partition_tree pg_postmaster_start_time \
    pg_relation_filenode pg_relation_filepath pg_relation_is_publishable pg_relation_is_updatable \
    pg_relation_size pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sequence_parameters \
    pg_settings_get_flags pg_size_bytes pg_size_pretty pg_sleep pg_sleep_for pg_sleep_until pg_snapshot_xip \
    pg_snapshot_xmax pg_snapshot_xmin pg_split_walfile_name pg_stat_get_activity pg_statistics_obj_is_visible \
    pg_table_is_visible pg_table_size pg_tablespace_location pg_tablespace_size pg_total_relation_size \
    pg_trigger_depth pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_ts_config_is_visible \
    pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof \
    pg_visible_in_snapshot pg_wal_lsn_diff pg_walfile_name pg_walfile_name_offset pg_xact_commit_timestamp \
    pg_xact_status phraseto_tsquery pi plainto_tsquery pow power quote_ident quote_literal quote_nullable \
    radians random range_agg range_intersect_agg range_merge rank regclass regexp_count regexp_instr regexp_like \
    regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr \
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace \
    reverse right round row_number row_security_active row_to_json rpad rtrim scale set_bit set_byte set_masklen \
    setweight sha224 sha256 sha384 sha512 shobj_description sign sin sind sinh split_part sqrt starts_with \
    statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip strpos \
    substr sum tan tand tanh text timeofday timestamptz timetz timezone to_ascii to_char to_date to_hex to_json \
    to_jsonb to_number to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc \
    to_regprocedure to_regrole to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp translate \
    trim_array trim_scale trunc ts_delete ts_filter ts_rank ts_rank_cd tsmultirange tsrange tstzmultirange \
    tstzrange tsvector_to_array txid_current txid_current_if_assigned txid_current_snapshot txid_snapshot_xip \
    txid_snapshot_xmax txid_snapshot_xmin txid_status txid_visible_in_snapshot unistr unnest upper upper_inc \
    upper_inf var_pop var_samp varbit variance version websearch_to_tsquery width_bucket xml xml_is_well_formed \
    xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlcomment xmlvalidate xpath xpath_exists";

/// Functions that leave something on the backend which no other backend has.
const PINNING_FUNCTIONS: [(PinReason, &str); 6] = [
    (PinReason::SetConfig, "set_config set_limit"),
    (
        PinReason::AdvisoryLock,
        "pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared",
    ),
    (PinReason::SequenceState, "currval lastval"),
    (PinReason::Seed, "setseed"),
    (
        PinReason::ReplicationState,
        "pg_create_physical_replication_slot pg_create_logical_replication_slot pg_copy_physical_replication_slot \
         pg_copy_logical_replication_slot pg_replication_origin_session_setup pg_backup_start pg_start_backup",
    ),
    (
        PinReason::TaintingFunction,
        "dblink_connect dblink_connect_u",
    ),
];

/// What is known of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WordFacts {
    /// A keyword in some version of the server.
    pub(super) keyword: bool,
    /// A keyword that never names a function.
    pub(super) never_function: bool,
    /// Names a function of the server that leaves the session alone.
    pub(super) harmless: bool,
    /// Names the function of the server that does what NOTIFY does.
    pub(super) notifies: bool,
    /// Names a function of the server that pins.
    pub(super) pins: Option<PinReason>,
}

const UNKNOWN: WordFacts = WordFacts {
    keyword: false,
    never_function: false,
    harmless: false,
    notifies: false,
    pins: None,
};

/// What is known of `word`, in whatever case it is written.
pub(super) fn facts(word: &[u8]) -> WordFacts {
    facts_by_key(word, key(word))
}

/// As `facts`, for a word whose `key` is at hand.
pub(super) fn facts_by_key(word: &[u8], key: u128) -> WordFacts {
    let mut slot = first_slot(word, key);
    loop {
        let entry = &TABLE[slot];
        if entry.name.is_empty() {
            return UNKNOWN;
        }
        if entry.name.as_bytes().eq_ignore_ascii_case(word) {
            return entry.facts;
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// A word of up to 16 bytes as a number, the same in whatever case it is written; `TOO_LONG` for others.
pub(super) const fn key(word: &[u8]) -> u128 {
    if word.len() > KEY_BYTES {
        return TOO_LONG;
    }
    let mut bytes = [0_u8; KEY_BYTES];
    let mut index = 0;
    while index < word.len() {
        // Folds letters; no two bytes that words are made of fold to one otherwise.
        bytes[index] = word[index] | 0x20;
        index += 1;
    }
    u128::from_le_bytes(bytes)
}

/// The `key` of the first `length` bytes of a longer text, without looking at them one by one.
#[inline]
pub(super) fn key_of_first(text: [u8; KEY_BYTES], length: usize) -> u128 {
    if length > KEY_BYTES {
        return TOO_LONG;
    }
    (u128::from_le_bytes(text) | u128::from_le_bytes([0x20; KEY_BYTES])) & mask(length)
}

/// The bits of the first `length` bytes, of `KEY_BYTES` at most.
#[inline]
pub(super) fn mask(length: usize) -> u128 {
    u128::MAX.checked_shr(128 - 8 * length as u32).unwrap_or(0)
}

/// The bytes, `KEY_BYTES` at most, and zeros.
pub(super) fn padded(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let mut padded = [0; KEY_BYTES];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// How many bytes a key holds.
pub(super) const KEY_BYTES: usize = 16;

/// The key of all longer words; it equals that of no keyword.
const TOO_LONG: u128 = u128::MAX;

/// The keys of the words that the readers of statements look for.
pub(super) mod keys {
    macro_rules! keys {
        ($($word:ident)*) => { $(pub(in super::super) const $word: u128 = super::key(stringify!($word).as_bytes());)* };
    }
    keys! {
        ABORT ALL ANALYSE ANALYZE AND AS ATOMIC AUTHORIZATION BEGIN BERNOULLI BETWEEN BIT BY CALL CASE CHAIN CHAR CHARACTER
        CHARACTERISTICS CHECKPOINT CLOSE COMMIT COMMITTED CONSTRAINTS COPY CREATE CROSS CUBE CURRENT_SETTING DEALLOCATE
        DECLARE DEFAULT DEFERRABLE DELETE DISCARD DISTINCT DO ELSE END EXECUTE EXPLAIN FALSE FETCH FOR FROM FULL FUNCTION GLOBAL
        GROUP GROUPING HOLD HOUR ILIKE IN INNER INSERT INTERVAL INTO ISOLATION JOIN KEY LEFT LEVEL LIKE LIMIT LISTEN LOAD LOCAL LOCK MATERIALIZED
        MERGE MINUTE MOVE NAMES NATURAL NCHAR NO NOT NOTIFY NULL OFFSET ON ONLY OPERATOR OPTION OR ORDER ORDINALITY OUTER PARTITION PG_CATALOG
        PLANS PREPARE PREPARED PROCEDURE PROGRAM READ RECURSIVE RELEASE REPEATABLE REPLACE RESET RIGHT ROLE ROLLBACK ROLLUP
        SAVEPOINT SCHEMA SELECT SEQUENCES SERIALIZABLE SESSION SET SETS SET_CONFIG SHOW START STDIN STDOUT SYSTEM TABLE TABLESAMPLE TEMP
        TEMPORARY THEN TIME TO TRANSACTION TRUE UNCOMMITTED UNLISTEN UPDATE VACUUM VALUES VARYING VERBOSE WHEN WITH WORK WRITE XML ZONE
    }
}

/// Twice the words and more, so that most are found at once.
const SLOTS: usize = 4096;

#[derive(Clone, Copy)]
struct Entry {
    name: &'static str,
    facts: WordFacts,
}

static TABLE: [Entry; SLOTS] = {
    let mut table = [Entry {
        name: "",
        facts: UNKNOWN,
    }; SLOTS];
    let keyword = WordFacts {
        keyword: true,
        ..UNKNOWN
    };
    table = with_words(
        table,
        NEVER_FUNCTIONS,
        WordFacts {
            never_function: true,
            ..keyword
        },
    );
    table = with_words(table, OTHER_KEYWORDS, keyword);
    table = with_words(
        table,
        HARMLESS_FUNCTIONS,
        WordFacts {
            harmless: true,
            ..UNKNOWN
        },
    );
    table = with_words(
        table,
        "pg_notify",
        WordFacts {
            notifies: true,
            ..UNKNOWN
        },
    );
    let mut index = 0;
    while index < PINNING_FUNCTIONS.len() {
        let (reason, words) = PINNING_FUNCTIONS[index];
        table = with_words(
            table,
            words,
            WordFacts {
                pins: Some(reason),
                ..UNKNOWN
            },
        );
        index += 1;
    }
    table
};

/// Adds each of the words, parted by spaces, with these facts to what the table knows of them.
const fn with_words(
    mut table: [Entry; SLOTS],
    words: &'static str,
    facts: WordFacts,
) -> [Entry; SLOTS] {
    let mut rest = words.as_bytes();
    while !rest.is_empty() {
        let mut length = 0;
        while length < rest.len() && rest[length] != b' ' {
            length += 1;
        }
        let (name, after) = rest.split_at(length);
        if length > 0 {
            add(&mut table, name, facts);
        }
        rest = if after.is_empty() {
            after
        } else {
            after.split_at(1).1
        };
    }
    table
}

const fn add(table: &mut [Entry; SLOTS], name: &'static [u8], facts: WordFacts) {
    let mut slot = first_slot(name, key(name));
    while !table[slot].name.is_empty() && !same(table[slot].name.as_bytes(), name) {
        slot = (slot + 1) % SLOTS;
    }
    let known = table[slot].facts;
    let Ok(name) = std::str::from_utf8(name) else {
        panic!("the lists above are ASCII")
    };
    let facts = WordFacts {
        keyword: known.keyword || facts.keyword,
        never_function: known.never_function || facts.never_function,
        harmless: known.harmless || facts.harmless,
        notifies: known.notifies || facts.notifies,
        pins: if facts.pins.is_some() {
            facts.pins
        } else {
            known.pins
        },
    };
    table[slot] = Entry { name, facts };
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Where the search for a word begins.
const fn first_slot(word: &[u8], key: u128) -> usize {
    // Long words part by their ends: many begin alike.
    let key = if key == TOO_LONG {
        self::key(word.split_at(word.len() - KEY_BYTES).1)
    } else {
        key
    };
    let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 52) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_word_is_found_in_any_case() {
        for word in [NEVER_FUNCTIONS, OTHER_KEYWORDS]
            .iter()
            .flat_map(|list| list.split_ascii_whitespace())
        {
            assert!(
                facts(word.to_ascii_uppercase().as_bytes()).keyword,
                "{word}"
            );
        }
        for word in HARMLESS_FUNCTIONS.split_ascii_whitespace() {
            assert!(
                facts(word.as_bytes()).harmless && facts(word.as_bytes()).pins.is_none(),
                "{word}"
            );
        }
        for (reason, words) in PINNING_FUNCTIONS {
            for word in words.split_ascii_whitespace() {
                assert_eq!(facts(word.as_bytes()).pins, Some(reason), "{word}");
                assert!(!facts(word.as_bytes()).harmless, "{word}");
            }
        }
    }

    #[test]
    fn words_that_are_not_listed_are_unknown() {
        for word in [
            "",
            "x",
            "my_function",
            "nextval",
            "setval",
            "query_to_xml",
            "uuidv7",
            "crc32",
            "pg_advisory_unlock",
            "table_to_xml",
        ] {
            assert_eq!(facts(word.as_bytes()), UNKNOWN, "{word}");
        }
    }

    #[test]
    fn keys_tell_words_apart_whatever_their_case() {
        assert_eq!(key(b"DeAllocate"), key(b"deallocate"));
        assert_ne!(key(b"set"), key(b"sets"));
        assert_ne!(key(b"a_b"), key(b"a$b"));
        assert_eq!(key(b"seventeen_letters"), key(b"another_long_word"));
        for length in 0..=17 {
            let text = *b"AuthorizationXYZ";
            let expected = if length > 16 {
                TOO_LONG
            } else {
                key(&text[..length])
            };
            assert_eq!(key_of_first(text, length), expected, "{length}");
        }
    }
}

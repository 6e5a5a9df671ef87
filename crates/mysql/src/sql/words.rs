//! The words of SQL that matter here: which are reserved, which functions of the servers leave the session alone, and which
//! do or read something that the session keeps. One table, hashed at compile time, serves all questions.
//!
//! The functions are those of MySQL 8.0 and of MariaDB 10.11: the name of a later one may be that of a function which
//! somebody made because the server had none. A function of the server hides a user's of the same name, unless that is called with
//! its database's name, or, for a few names, with white space before the bracket.

use super::dialect::{Dialect, Family};
use super::fact::Fact;

/// Words that never name a function: reserved ones but for those that do (`left`, `if` …).
const RESERVED: &str = "\
    accessible add all alter analyze and as asc asensitive before between bigint binary blob both by call \
    cascade case change character check collate column condition constraint continue create cross cursor \
    databases day_hour day_microsecond day_minute day_second dec decimal declare default delayed delete desc \
    describe deterministic distinct distinctrow div double drop dual each else elseif enclosed escaped except \
    exists exit explain false fetch float float4 float8 for force foreign from fulltext grant group having \
    high_priority hour_microsecond hour_minute hour_second ignore in index infile inner inout insensitive int \
    int1 int2 int3 int4 int8 integer intersect interval into is iterate join key keys kill leading leave like \
    limit linear lines load lock long longblob longtext loop low_priority match mediumblob mediumint mediumtext \
    middleint minute_microsecond minute_second modifies natural no_write_to_binlog not null numeric on optimize \
    option optionally or order out outer outfile over partition precision primary procedure purge range read \
    read_write reads real recursive references regexp release rename require resignal restrict return revoke \
    rlike rows schemas second_microsecond select sensitive separator set show signal smallint spatial specific \
    sql sql_big_result sql_calc_found_rows sql_small_result sqlexception sqlstate sqlwarning ssl starting \
    stored straight_join table terminated then tinyblob tinyint tinytext to trailing trigger true undo union \
    unique unlock unsigned update usage use using values varbinary varchar varcharacter varying when where \
    while with write xor year_month zerofill";

/// Words that MySQL alone reserves.
const RESERVED_BY_MYSQL: &str = "\
    cube empty generated grouping groups lateral of system virtual window";

/// Words that are calls without brackets.
const NILADIC_FUNCTIONS: &str = "\
    current_date current_role current_time current_timestamp current_user localtime localtimestamp rownum \
    sysdate utc_date utc_time utc_timestamp";

/// Functions of both families whose call leaves the session as it was, and types, since `char(3)` looks like a call.
const HARMLESS_FUNCTIONS: &str = "\
    abs acos adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 avg benchmark bin bit_and bit_count \
    bit_length bit_or bit_xor cast ceil ceiling char char_length character_length charset coalesce coercibility \
    collation compress concat concat_ws conv convert convert_tz cos cot count crc32 cume_dist curdate \
    current_date current_role current_time current_timestamp current_user curtime database date date_add \
    date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear degrees dense_rank elt exp \
    export_set extract extractvalue field find_in_set first_value floor format from_base64 from_days \
    from_unixtime geometrycollection get_format greatest group_concat hex hour if ifnull inet6_aton inet6_ntoa \
    inet_aton inet_ntoa insert instr is_free_lock is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 isnull \
    json_array json_array_append json_array_insert json_arrayagg json_contains json_contains_path json_depth \
    json_extract json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve json_object \
    json_objectagg json_overlaps json_pretty json_quote json_remove json_replace json_search json_set json_type \
    json_unquote json_valid json_value lag last_day last_value lcase lead least left length linestring ln \
    load_file localtime localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate maketime \
    master_pos_wait max mbrcontains mbrdisjoint mbrequals mbrintersects mbroverlaps mbrtouches mbrwithin \
    microsecond mid min minute mod month monthname multilinestring multipoint multipolygon name_const now \
    nth_value ntile nullif oct octet_length ord percent_rank period_add period_diff pi point polygon position \
    pow power quarter quote radians rand random_bytes rank regexp_instr regexp_replace regexp_substr repeat \
    replace reverse right round row row_number rpad rtrim schema sec_to_time second session_user sha2 sign sin \
    sleep soundex space sqrt st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid \
    st_contains st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere \
    st_endpoint st_envelope st_equals st_exteriorring st_geomcollfromtext st_geomcollfromwkb \
    st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext \
    st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_length \
    st_linefromtext st_linefromwkb st_numgeometries st_numinteriorrings st_numpoints st_overlaps \
    st_pointfromtext st_pointfromwkb st_pointn st_polyfromtext st_polyfromwkb st_srid st_startpoint \
    st_symdifference st_touches st_union st_within st_x st_y std stddev stddev_pop stddev_samp str_to_date \
    strcmp subdate substr substring substring_index subtime sum sysdate system_user tan time time_format \
    time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days to_seconds trim truncate ucase \
    uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date utc_time utc_timestamp \
    uuid uuid_short var_pop var_samp variance version week weekday weekofyear weight_string year yearweek";

/// Such of MySQL alone.
const HARMLESS_IN_MYSQL: &str = "\
    any_value bin_to_uuid format_bytes format_pico_time grouping gtid_subset gtid_subtract icu_version is_uuid \
    json_schema_valid json_schema_validation_report json_storage_free json_storage_size json_table mbrcoveredby \
    ps_thread_id regexp_like roles_graphml source_pos_wait st_collect st_geohash st_isvalid st_latfromgeohash \
    st_latitude st_lineinterpolatepoint st_lineinterpolatepoints st_longfromgeohash st_longitude \
    st_makeenvelope st_mlinefromtext st_mpointfromtext st_mpolyfromtext st_pointatdistance st_pointfromgeohash \
    st_simplify st_swapxy st_transform st_validate statement_digest statement_digest_text uuid_to_bin \
    validate_password_strength wait_for_executed_gtid_set";

/// Such of MariaDB alone.
const HARMLESS_IN_MARIADB: &str = "\
    add_months binlog_gtid_pos chr column_add column_check column_create column_delete column_exists column_get \
    column_json column_list crc32c decode decode_histogram des_decrypt des_encrypt encode encrypt json_compact \
    json_detailed json_equals json_exists json_loose json_normalize json_query lengthb master_gtid_wait md5 \
    median natural_sort_key nvl nvl2 old_password password percentile_cont percentile_disc sformat sha sha1 \
    st_boundary st_isring st_pointonsurface st_relate sys_guid to_char";

/// With white space before the bracket these name functions of the user's, unless IGNORE_SPACE is on.
const NAMED_WITHOUT_SPACE: &str = "\
    adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub extract group_concat \
    json_arrayagg json_objectagg max mid min now position session_user std stddev stddev_pop stddev_samp \
    subdate substr substring sum system_user trim var_pop var_samp variance";

/// Such of MySQL alone.
const NAMED_WITHOUT_SPACE_IN_MYSQL: &str = "st_collect sysdate";

/// Such of MariaDB alone.
const NAMED_WITHOUT_SPACE_IN_MARIADB: &str = "\
    cume_dist dense_rank first_value lag lead median nth_value ntile \
    percent_rank percentile_cont percentile_disc rank";

/// Without arguments these name functions of the user's to MariaDB.
const NAMED_WITH_ARGUMENTS: &str = "\
    geometrycollection linestring multilinestring multipoint multipolygon point polygon";

/// MySQL has moved these into a component: without it they name functions of the user's.
const HARMLESS_IN_OLD_MYSQL: &str = "md5 sha sha1";

/// The first version that has them there, or an earlier one.
const COMPONENT_FROM: u32 = 90000;

/// Functions that do or read something that a session can notice.
const SPEAKING_FUNCTIONS: [(Fact, &str); 12] = [
    (Fact::TakesNamedLock, "get_lock"),
    (Fact::ReleasesNamedLock, "release_lock"),
    (Fact::ReleasesNamedLocks, "release_all_locks"),
    (
        Fact::ReadsConnectionId,
        "connection_id is_used_lock ps_current_thread_id",
    ),
    (Fact::ReadsLastInsertId, "last_insert_id"),
    (Fact::ReadsRowCount, "row_count"),
    (Fact::ReadsFoundRows, "found_rows"),
    (Fact::ReadsSequence, "lastval"),
    (Fact::UsesSequence, "nextval setval"),
    (
        Fact::TakesServiceLock,
        "service_get_read_locks service_get_write_locks version_tokens_lock_shared version_tokens_lock_exclusive",
    ),
    (
        Fact::ReleasesServiceLock,
        "service_release_locks version_tokens_unlock",
    ),
    (
        Fact::Replicates,
        "wsrep_last_written_gtid wsrep_last_seen_gtid wsrep_sync_wait_upto_gtid",
    ),
];

/// Of these both families have functions of their own, which do no more than that.
const OWN_SPEAKING_FUNCTIONS: &str = "get_lock release_lock release_all_locks connection_id is_used_lock last_insert_id \
    row_count found_rows";

/// Of these only MariaDB has functions of its own; in MySQL they may be anybody's, or a plugin's.
const OF_MARIADB_ALONE: &str = "lastval nextval setval";

/// What is known of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WordFacts {
    /// Never names a function in either family.
    reserved: bool,
    reserved_by_mysql: bool,
    /// Is a call without brackets.
    pub(super) niladic: bool,
    harmless_in_mysql: bool,
    harmless_in_old_mysql: bool,
    harmless_in_mariadb: bool,
    without_space_in_mysql: bool,
    without_space_in_mariadb: bool,
    /// Names a function of the server only with arguments.
    pub(super) with_arguments: bool,
    /// What calling the function of this name does.
    pub(super) speaks: Option<Fact>,
}

const UNKNOWN: WordFacts = WordFacts {
    reserved: false,
    reserved_by_mysql: false,
    niladic: false,
    harmless_in_mysql: false,
    harmless_in_old_mysql: false,
    harmless_in_mariadb: false,
    without_space_in_mysql: false,
    without_space_in_mariadb: false,
    with_arguments: false,
    speaks: None,
};

impl WordFacts {
    /// A word that never names a function.
    pub(super) fn never_function(self, dialect: &Dialect) -> bool {
        self.reserved || (self.reserved_by_mysql && dialect.family == Family::MySql)
    }

    /// A word of the grammar in either family, which cannot stand for a value.
    pub(super) fn is_reserved(self) -> bool {
        self.reserved || self.reserved_by_mysql || self.niladic
    }

    /// Names a function of the server that does no more than `speaks` says.
    pub(super) fn harmless(self, dialect: &Dialect) -> bool {
        match dialect.family {
            Family::MySql => {
                let old = dialect.version < COMPONENT_FROM;
                self.harmless_in_mysql || (old && self.harmless_in_old_mysql)
            }
            Family::MariaDb => self.harmless_in_mariadb,
        }
    }

    /// Names a function of the server only with its bracket directly behind it.
    pub(super) fn without_space(self, dialect: &Dialect) -> bool {
        match dialect.family {
            Family::MySql => self.without_space_in_mysql,
            Family::MariaDb => self.without_space_in_mariadb,
        }
    }
}

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
        JSON_TABLE         AGAINST AGGREGATE ALL ALTER ANALYZE AND ANY AS ATOMIC BACKUP BEGIN BETWEEN BINARY BINLOG BODY CACHE CALL
        CASE CHAIN CHANGE CHAR CHARACTER CHARSET CHECK CHECKSUM CLONE CLOSE COLLATE COLUMN COLUMNS COMMIT COMMITTED
        CONNECTION CONSISTENT COUNT CREATE CURRVAL DATA DEALLOCATE DECLARE DEFAULT DEFINER DELAYED DELETE DESC
        DESCRIBE DO DROP DUMPFILE ELSE END ERRORS ERROR_COUNT EVENT EXECUTE EXISTS EXPLAIN EXPORT EXTENDED FALSE
        FLUSH FOR FORMAT FROM FULL FUNCTION GET GLOBAL GRANT GRANTS HANDLER HARD HELP HIGH_PRIORITY ID IDENTITY IF
        IGNORE IMMEDIATE IMPORT IN INDEX INSERT INSTALL INSTANCE INTO ISOLATION KEY KILL LAST_INSERT_ID LEVEL LIMIT
        LOAD LOCAL LOCK LOOP LOW_PRIORITY NAMES NEXT NEXTVAL NO NONE NOT NULL OFFSET ON ONLY
        OPEN OPTIMIZE OR OUTFILE PACKAGE PARTITION PARTITIONS PASSWORD PERSIST PERSIST_ONLY PREPARE PREVIOUS
        PROCEDURE PROCESSLIST PROFILE PROFILES PSEUDO_THREAD_ID PURGE QUERY READ RECOVER RECURSIVE RELEASE RENAME
        REPAIR REPEAT REPEATABLE REPLACE RESET RESOURCE RESTART REVOKE ROLE ROLLBACK ROLLUP ROW SAVEPOINT SELECT
        SEQUENCE SERIALIZABLE SESSION SET SHARE SHOW SHUTDOWN SIGNAL SNAPSHOT SOFT SOME STAGE START STATEMENT
        STATUS STOP SYSTEM TABLE TABLES TEMPORARY THEN TO TRANSACTION TRIGGER TRUE TRUNCATE UNCOMMITTED UNINSTALL
        UNLOCK UPDATE USE USER USING VALUE VALUES VARIABLES WARNINGS WARNING_COUNT WHEN WHILE WITH WORK WRITE XA
        XML
    }
}

/// Twice the words and more, so that most are found at once.
const SLOTS: usize = 2048;

#[derive(Clone, Copy)]
struct Entry {
    name: &'static str,
    facts: WordFacts,
}

static TABLE: [Entry; SLOTS] = {
    const RESERVED_WORD: WordFacts = WordFacts {
        reserved: true,
        ..UNKNOWN
    };
    const BY_MYSQL: WordFacts = WordFacts {
        reserved_by_mysql: true,
        ..UNKNOWN
    };
    const NILADIC: WordFacts = WordFacts {
        niladic: true,
        ..UNKNOWN
    };
    const IN_MYSQL: WordFacts = WordFacts {
        harmless_in_mysql: true,
        ..UNKNOWN
    };
    const IN_MARIADB: WordFacts = WordFacts {
        harmless_in_mariadb: true,
        ..UNKNOWN
    };
    const IN_OLD_MYSQL: WordFacts = WordFacts {
        harmless_in_old_mysql: true,
        ..UNKNOWN
    };
    const CLOSE_IN_MYSQL: WordFacts = WordFacts {
        without_space_in_mysql: true,
        ..UNKNOWN
    };
    const CLOSE_IN_MARIADB: WordFacts = WordFacts {
        without_space_in_mariadb: true,
        ..UNKNOWN
    };
    const WITH_ARGUMENTS: WordFacts = WordFacts {
        with_arguments: true,
        ..UNKNOWN
    };
    let mut table = [Entry {
        name: "",
        facts: UNKNOWN,
    }; SLOTS];
    table = with_words(table, RESERVED, RESERVED_WORD);
    table = with_words(table, RESERVED_BY_MYSQL, BY_MYSQL);
    table = with_words(table, NILADIC_FUNCTIONS, NILADIC);
    table = with_words(table, HARMLESS_FUNCTIONS, IN_MYSQL);
    table = with_words(table, HARMLESS_FUNCTIONS, IN_MARIADB);
    table = with_words(table, HARMLESS_IN_MYSQL, IN_MYSQL);
    table = with_words(table, HARMLESS_IN_MARIADB, IN_MARIADB);
    table = with_words(table, HARMLESS_IN_OLD_MYSQL, IN_OLD_MYSQL);
    table = with_words(table, NAMED_WITHOUT_SPACE, CLOSE_IN_MYSQL);
    table = with_words(table, NAMED_WITHOUT_SPACE, CLOSE_IN_MARIADB);
    table = with_words(table, NAMED_WITHOUT_SPACE_IN_MYSQL, CLOSE_IN_MYSQL);
    table = with_words(table, NAMED_WITHOUT_SPACE_IN_MARIADB, CLOSE_IN_MARIADB);
    table = with_words(table, NAMED_WITH_ARGUMENTS, WITH_ARGUMENTS);
    table = with_words(table, OF_MARIADB_ALONE, IN_MARIADB);
    let mut index = 0;
    while index < SPEAKING_FUNCTIONS.len() {
        let (fact, words) = SPEAKING_FUNCTIONS[index];
        let speaks = WordFacts {
            speaks: Some(fact),
            ..UNKNOWN
        };
        table = with_words(table, words, speaks);
        index += 1;
    }
    table = with_words(table, OWN_SPEAKING_FUNCTIONS, IN_MYSQL);
    table = with_words(table, OWN_SPEAKING_FUNCTIONS, IN_MARIADB);
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
        reserved: known.reserved || facts.reserved,
        reserved_by_mysql: known.reserved_by_mysql || facts.reserved_by_mysql,
        niladic: known.niladic || facts.niladic,
        harmless_in_mysql: known.harmless_in_mysql || facts.harmless_in_mysql,
        harmless_in_mariadb: known.harmless_in_mariadb || facts.harmless_in_mariadb,
        harmless_in_old_mysql: known.harmless_in_old_mysql || facts.harmless_in_old_mysql,
        without_space_in_mysql: known.without_space_in_mysql || facts.without_space_in_mysql,
        without_space_in_mariadb: known.without_space_in_mariadb || facts.without_space_in_mariadb,
        with_arguments: known.with_arguments || facts.with_arguments,
        speaks: if facts.speaks.is_some() {
            facts.speaks
        } else {
            known.speaks
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

    const MYSQL: Dialect = Dialect {
        family: Family::MySql,
        version: 80000,
        modes: super::super::Modes {
            ansi_quotes: false,
            no_backslash_escapes: false,
            pipes_as_concat: false,
            ignore_space: false,
            oracle: false,
        },
        charset: super::super::Charset::Utf8,
    };
    const MARIADB: Dialect = Dialect {
        family: Family::MariaDb,
        version: 101100,
        ..MYSQL
    };

    #[test]
    fn every_listed_word_is_found_in_any_case() {
        for word in RESERVED.split_ascii_whitespace() {
            let facts = facts(word.to_ascii_uppercase().as_bytes());
            assert!(
                facts.never_function(&MYSQL) && facts.never_function(&MARIADB),
                "{word}"
            );
            assert!(!facts.harmless(&MYSQL) && facts.speaks.is_none(), "{word}");
        }
        for word in HARMLESS_FUNCTIONS.split_ascii_whitespace() {
            let facts = facts(word.as_bytes());
            assert!(facts.harmless(&MYSQL) && facts.harmless(&MARIADB), "{word}");
            assert!(facts.speaks.is_none(), "{word}");
        }
        for (fact, words) in SPEAKING_FUNCTIONS {
            for word in words.split_ascii_whitespace() {
                assert_eq!(facts(word.as_bytes()).speaks, Some(fact), "{word}");
            }
        }
    }

    #[test]
    fn a_function_of_one_family_is_nobodys_in_the_other() {
        for word in HARMLESS_IN_MYSQL.split_ascii_whitespace() {
            let facts = facts(word.as_bytes());
            assert!(
                facts.harmless(&MYSQL) && !facts.harmless(&MARIADB),
                "{word}"
            );
        }
        const NEW: Dialect = Dialect {
            version: 90700,
            ..MYSQL
        };
        for word in HARMLESS_IN_MARIADB.split_ascii_whitespace() {
            let facts = facts(word.as_bytes());
            assert!(!facts.harmless(&NEW) && facts.harmless(&MARIADB), "{word}");
        }
        assert!(facts(b"md5").harmless(&MYSQL));
        assert!(facts(b"nextval").harmless(&MARIADB) && !facts(b"nextval").harmless(&MYSQL));
    }

    #[test]
    fn words_that_are_not_listed_are_unknown() {
        for word in [
            "",
            "x",
            "my_function",
            "any",
            "get_locks",
            "sys_exec",
            "wsrep",
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
    }
}

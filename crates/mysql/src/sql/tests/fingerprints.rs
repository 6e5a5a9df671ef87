//! What makes statements the same, what makes them different, and that no constant is ever shown.

use proptest::prelude::*;

use super::*;

const BYTES_MAX: usize = 10_000;

fn of(sql: &str) -> Fingerprint {
    fingerprint(sql.as_bytes(), mysql())
}

fn shown(sql: &str) -> String {
    normalized(sql.as_bytes(), mysql(), BYTES_MAX)
}

/// All of them have one fingerprint and one text.
fn assert_same(statements: &[&str]) {
    for sql in statements {
        assert_eq!(shown(sql), shown(statements[0]), "{sql}");
        assert_eq!(of(sql), of(statements[0]), "{sql}");
    }
}

/// No two of them have the same.
fn assert_different(statements: &[&str]) {
    for (index, sql) in statements.iter().enumerate() {
        for other in &statements[..index] {
            assert_ne!(of(sql), of(other), "{sql} | {other}");
        }
    }
}

#[test]
fn constants_white_space_comments_and_case_make_no_difference() {
    assert_same(&[
        "SELECT a FROM t WHERE b = 1 AND c LIKE 'x'",
        "select A from T where B=2.5e3 and C like \"it\\\"s\"",
        "SELECT a/* 1 */FROM t -- 'x'\nWHERE b = -1 AND c LIKE N'x'",
        "  SELECT a FROM t WHERE b = +0x1f AND c LIKE x'41';; ;",
        ";SELECT a FROM t WHERE b = ? AND c LIKE ? # x",
        "SELECT a /*! FROM t */ WHERE b = 1 AND c LIKE 'x'",
    ]);
    assert_same(&["SELECT - 1", "SELECT 1", "SELECT + 2", "SELECT ?"]);
    assert_same(&["BEGIN; SELECT 1;; COMMIT", "begin;select 2;commit;"]);
    assert_same(&["SET a = 1", "SET a = 'x'", "SET a = on", "SET a = -1"]);
    assert_same(&["SET a = 1, b = x", "SET a = y, b = 2"]);
    assert_same(&["SET @a := 1", "SET @a := 'b'"]);
}

#[test]
fn all_else_makes_a_difference() {
    assert_different(&[
        "SELECT a FROM t",
        "SELECT b FROM t",
        "SELECT `a` FROM t",
        "SELECT `A` FROM t",
        "SELECT @a FROM t",
        "SELECT @@a FROM t",
        "SELECT a, a FROM t",
        "SELECT a FROM t WHERE a = 1",
        "SELECT a FROM t WHERE a <> 1",
        "SELECT a FROM t WHERE a = NULL",
        "SELECT a FROM t WHERE a = TRUE",
        "SELECT a FROM t WHERE a - 1",
        "SELECT a FROM t WHERE (a) + 1",
        "SELECT a FROM t; SELECT a FROM t",
        "SELECT ab",
        "SELECT a b",
        "SELECT a.b",
        "SELECT a(b)",
        "SELECT SQL_CALC_FOUND_ROWS a_very_long_name FROM t",
        "SELECT SQL_CALC_FOUND_ROWS a_very_long_nome FROM t",
        "SELECT é",
        "SELECT _utf8'a'",
        "SELECT 'a'",
        "SET a = DEFAULT",
        "SET a = b",
        "SET c = b",
        "SET a = f(b)",
        "SET NAMES a",
        "SET NAMES b",
        "SELECT f(1)",
        "SELECT f(1, 2)",
        "SELECT f(1, 2, NULL)",
        "SELECT 1 /*! , 2 */",
        "",
    ]);
}

#[test]
fn the_length_of_a_list_makes_no_difference() {
    assert_same(&[
        "SELECT * FROM t WHERE a IN (1)",
        "SELECT * FROM t WHERE a IN (?, 2,3 , -4, 'x', NULL, TRUE)",
    ]);
    assert_same(&[
        "SELECT (a, b) IN ((1, 2))",
        "SELECT (a, b) IN ((1, 2), (3, 4), (5, 6))",
    ]);
    assert_same(&[
        "INSERT INTO t VALUES (1, 'a')",
        "INSERT INTO t VALUES (2, 'b'), (3, NULL), (-4, 'd')",
    ]);
    assert_same(&[
        "INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 1",
        "INSERT INTO t (a) VALUES (1), (2) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 2",
    ]);
    assert_different(&[
        "SELECT a IN (f(1))",
        "SELECT a IN (1, f(1))",
        "SELECT a IN (b, c)",
        "SELECT a IN (SELECT 1)",
        "SELECT a IN (SELECT 1, 2)",
        "VALUES (1)",
        "VALUES (1, DEFAULT)",
    ]);
}

#[test]
fn texts_are_shown_for_people() {
    for (sql, expected) in [
        (
            "SELECT  A,b FROM `T` WHERE c='x' AND d IN(1,2)",
            "select a, b from `T` where c = ? and d in (?)",
        ),
        ("select Count( * ) from db . t", "select count(*) from db.t"),
        (
            "SELECT @@session . sql_mode, @A := 1",
            "select @@session.sql_mode, @A := ?",
        ),
        (
            "INSERT INTO t (a) VALUES (1),(2)",
            "insert into t(a) values (?)",
        ),
        ("SET PASSWORD = 'secret'", "set password = ?"),
        (
            "CREATE USER a@b IDENTIFIED BY 'secret'",
            "create user a @b identified by ?",
        ),
        ("SELECT 'secret", "select…"),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
    assert_eq!(normalized(b"SELECT a, b, c", mysql(), 10), "select …");
    assert_eq!(of("SELECT 1").to_string().len(), 16);
}

proptest! {
    #[test]
    fn no_constant_is_ever_shown(before in properties::text_of_pieces(), quote in prop::sample::select(vec!['\'', '"'])) {
        let text = format!("{before} {quote}s3cr3t{quote}");
        for dialect in both() {
            let shown = normalized(text.as_bytes(), dialect, BYTES_MAX);
            // In a name or a comment it is no constant.
            let is_name = before.contains(['`', '\'', '"', '@', '#', '-', '/', '$']);
            prop_assert!(is_name || !shown.contains("s3cr3t"), "{text}: {shown}");
        }
    }

    #[test]
    fn texts_of_any_bytes_are_cut_to_their_length(sql in prop::collection::vec(any::<u8>(), 0..200), bytes_max in 0_usize..50) {
        for dialect in both() {
            prop_assert!(normalized(&sql, dialect, bytes_max).len() <= bytes_max);
            fingerprint(&sql, dialect);
        }
    }
}

//! What makes statements the same, what makes them different, and that no constant is ever shown.

use proptest::prelude::*;

use crate::sql::{Fingerprint, fingerprint, normalized};

const BYTES_MAX: usize = 10_000;

fn of(sql: &str) -> Fingerprint {
    fingerprint(sql.as_bytes(), true)
}

fn shown(sql: &str) -> String {
    normalized(sql.as_bytes(), true, BYTES_MAX)
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
        "select A from T where B=2.5e3 and C like E'it\\'s'",
        "SELECT a/* 1 */FROM t -- 'x'\nWHERE b = -1 AND c LIKE $$x$$",
        "  SELECT a FROM t WHERE b = +0x1f AND c LIKE U&'x';; ;",
        ";SELECT a FROM t WHERE b = B'1' AND c LIKE 'a'\n'b'",
    ]);
    assert_same(&["SELECT - 1", "SELECT 1", "SELECT + 2"]);
    assert_same(&["SELECT a FROM t LIMIT 10;", "SELECT a FROM t LIMIT 20"]);
    assert_same(&["BEGIN; SELECT 1;; COMMIT", "begin;select 2;commit;"]);
}

#[test]
fn all_else_makes_a_difference() {
    assert_different(&[
        "SELECT a FROM t",
        "SELECT b FROM t",
        "SELECT \"a\" FROM t",
        "SELECT \"A\" FROM t",
        "SELECT a, a FROM t",
        "SELECT a FROM t WHERE a = 1",
        "SELECT a FROM t WHERE a <> 1",
        "SELECT a FROM t WHERE a = $1",
        "SELECT a FROM t WHERE a = $2",
        "SELECT a FROM t WHERE a = NULL",
        "SELECT a FROM t WHERE a = TRUE",
        "SELECT a FROM t WHERE a - 1",
        "SELECT a FROM t WHERE a + 1",
        "SELECT a FROM t WHERE (a) - 1",
        "SELECT a FROM t WHERE (a) + 1",
        "SELECT a FROM t WHERE -a",
        "SELECT a FROM t; SELECT a FROM t",
        "SELECT ab",
        "SELECT a b",
        "SELECT a.b",
        "SELECT a(b)",
        "SELECT a_very_long_name_that_fits_no_number FROM t",
        "SELECT a_very_long_name_that_fits_no_numbers FROM t",
        "SELECT é",
        "SELECT É",
        "SELECT 'a'::text",
        "SELECT 'a'",
        "",
    ]);
}

#[test]
fn the_length_of_a_list_makes_no_difference() {
    assert_same(&[
        "SELECT * FROM t WHERE a IN (1)",
        "SELECT * FROM t WHERE a IN (1, 2,3 , -4, 'x', NULL, TRUE)",
    ]);
    assert_same(&["SELECT a IN ($1)", "SELECT a IN ($2, $3, $4)"]);
    assert_same(&[
        "SELECT a IN ('a'::uuid)",
        "SELECT a IN ('a'::uuid, 'b' :: UUID)",
    ]);
    assert_same(&[
        "SELECT (a, b) IN ((1, 2))",
        "SELECT (a, b) IN ((1, 2), (3, 4), (5, 6))",
    ]);
    assert_same(&[
        "INSERT INTO t VALUES (1, 'a') RETURNING a",
        "INSERT INTO t VALUES (2, 'b'), (3, NULL), (-4, 'd') RETURNING a",
    ]);
    assert_same(&[
        "INSERT INTO t (a, b) VALUES ($1, lower($2))",
        "INSERT INTO t (a, b) VALUES ($1, lower($2)), ($3, lower($4))",
    ]);
    assert_same(&["VALUES (1, now())", "VALUES (1, now()), (2, now())"]);
    assert_same(&[
        "SELECT a = ANY (ARRAY[1])",
        "SELECT a = ANY (ARRAY[1, 2, 3])",
    ]);
    assert_same(&["SET search_path TO a", "SET search_path TO b, \"C\", 'd'"]);
    assert_same(&[
        "SET work_mem = on",
        "SET work_mem = '1MB'",
        "SET work_mem = -1",
    ]);
}

#[test]
fn lists_keep_what_is_not_equal_and_arguments_keep_their_number() {
    assert_different(&[
        "SELECT f(1)",
        "SELECT f(1, 2)",
        "SELECT f(1, 2, NULL)",
        "SELECT f(1, 2, FALSE)",
        "SELECT f($1)",
        "SELECT f($2)",
        "SELECT a IN (f(1))",
        "SELECT a IN (f(1, 2))",
        "SELECT a IN (1, f(1))",
        "SELECT a IN ($1, 1)",
        "SELECT a IN (b, c)",
        "SELECT a IN (SELECT 1)",
        "SELECT a IN (SELECT 1, 2)",
        "SELECT a IN (SELECT b FROM t WHERE c = $1)",
        "SELECT a IN (SELECT b FROM t WHERE c = $2)",
        "VALUES (1)",
        "VALUES (1, DEFAULT)",
        "VALUES (1, a), (2, b)",
        "VALUES (1) ORDER BY 1",
        "WITH a AS (VALUES (1)), b AS (VALUES (2)) SELECT 1",
        "WITH a AS (VALUES (1), (2)), c AS (VALUES (2)) SELECT 1",
        "SELECT a[1]",
        "SELECT a[1:2]",
        "SELECT a[1][2]",
        "SET a TO DEFAULT",
        "SET a TO b",
        "SET c TO b",
        "SET LOCAL a TO b",
    ]);
}

#[test]
fn the_body_of_a_do_is_code() {
    assert_different(&[
        "DO $$BEGIN PERFORM f(); END$$",
        "DO $$BEGIN PERFORM g(); END$$",
        "DO LANGUAGE plpgsql $$BEGIN PERFORM f(); END$$",
        "DO 'BEGIN PERFORM f(); END'",
        "SELECT $$BEGIN PERFORM f(); END$$",
    ]);
    assert_same(&[
        "DO $$BEGIN PERFORM f(); END$$",
        "do /* */ $$BEGIN PERFORM f(); END$$;",
    ]);
    assert_same(&["SELECT 1; SELECT $$a$$", "SELECT 1; SELECT $$b$$"]);
    assert_ne!(of("SELECT 1; DO $$a$$"), of("SELECT 1; DO $$b$$"));
    assert_eq!(shown("DO $$ BEGIN x := 'secret'; END $$"), "do ?");
}

#[test]
fn what_cannot_be_read_counts_byte_by_byte() {
    assert_different(&[
        "SELECT 'a",
        "SELECT 'b",
        "SELECT $a$b",
        "SELECT /* a",
        "SELECT a\0b",
        "SELECT a\0c",
        "SELECT",
    ]);
    assert_eq!(shown("SELECT 'secret"), "select…");
    assert_eq!(shown("SELECT a, 1secret"), "select a,…");
}

#[test]
fn fingerprints_are_the_same_in_every_version() {
    let table = [
        ("", "64539051dd5764ef"),
        ("SELECT 1", "794df2346b133b0a"),
        ("INSERT INTO t (a) VALUES ($1), (2)", "9656d068e5a4ab2b"),
        (
            "SELECT a_very_long_name_that_fits_no_number <> 'x'::text",
            "4ec9a8426a12fdd6",
        ),
        ("SET a.b TO c; DO $$x$$", "23129b28f426055c"),
    ];
    for (sql, expected) in table {
        assert_eq!(of(sql).to_string(), expected, "{sql}");
    }
}

#[test]
fn the_text_is_written_as_people_write() {
    for (sql, expected) in [
        (
            "SELECT\n count ( * ) , T.* , \"A b\"[ 1 ] FROM t WHERE a IN ( 1,2 ) AND ( b=-1 )",
            "select count(*), t.*, \"A b\"[?] from t where a in (?) and (b = ?)",
        ),
        (
            "INSERT INTO t(a,b)VALUES(1,'x'),(2,'y')ON CONFLICT DO NOTHING",
            "insert into t(a, b) values (?) on conflict do nothing",
        ),
        (
            "SELECT $1::int, CAST( 'a' AS text ); SELECT NULL",
            "select $1::int, cast (? as text); select null",
        ),
        (
            "ALTER ROLE joe PASSWORD 'secret'",
            "alter role joe password ?",
        ),
        ("SET app.token TO secret", "set app.token to ?"),
        ("SELECT \"a\nb\", é", "select \"a\u{fffd}b\", é"),
        ("", ""),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
}

#[test]
fn the_text_is_cut_between_characters() {
    let sql = "SELECT é, é, é";
    for bytes_max in 0..30 {
        let text = normalized(sql.as_bytes(), true, bytes_max);
        assert!(text.len() <= bytes_max, "{text}");
        assert_eq!(text.ends_with('…'), (3..17).contains(&bytes_max), "{text}");
    }
    let long = format!("SELECT a IN ({})", "1, ".repeat(10_000) + "1");
    assert_eq!(normalized(long.as_bytes(), true, 20), "select a in (?)");
}

/// Constants in all spellings, with the same secret in each.
const SECRETS: &[&str] = &[
    "'secret'",
    "'it''s secret'",
    "E'\\'secret'",
    "$$secret$$",
    "$a$secret$$secret$a$",
    "N'secret'",
    "U&'secret'",
    "'a'\n'secret'",
];

const PIECES: &[&str] = &[
    "SELECT", "IN", "VALUES", "(", ")", "[", "]", ",", ";", "-", "=", "SET", "TO", "a", "DO",
    "NULL", "$1", "1", "::", "f",
];

proptest! {
    #[test]
    fn no_bytes_make_it_panic(sql in prop::collection::vec(any::<u8>(), 0..200), conforming: bool, bytes_max in 0..100_usize) {
        fingerprint(&sql, conforming);
        prop_assert!(normalized(&sql, conforming, bytes_max).len() <= bytes_max);
    }

    #[test]
    fn constants_are_never_shown_and_never_matter(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30),
        secret in prop::sample::select(SECRETS),
        other in prop::sample::select(SECRETS),
        at in 0..30_usize,
    ) {
        let with = |constant: &str| {
            let mut pieces = pieces.clone();
            pieces.insert(at.min(pieces.len()), constant);
            pieces.join(" ")
        };
        let (sql, same) = (with(secret), with(other));
        prop_assert!(!shown(&sql).contains("secret"), "{}", sql);
        prop_assert_eq!(shown(&sql), shown(&same));
        if !pieces.contains(&"DO") {
            prop_assert_eq!(of(&sql), of(&same), "{}", sql);
        }
    }

    #[test]
    fn the_same_text_is_shown_for_what_has_the_same_fingerprint(
        left in prop::collection::vec(prop::sample::select(PIECES), 0..8),
        right in prop::collection::vec(prop::sample::select(PIECES), 0..8),
    ) {
        let (left, right) = (left.join(" "), right.join(" "));
        if !left.contains("DO") {
            prop_assert_eq!(of(&left) == of(&right), shown(&left) == shown(&right), "{} | {}", left, right);
        }
    }
}

//! What holds for every text.

use proptest::prelude::*;

use super::*;

/// Statements that are whole in themselves, of all kinds.
const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT ';' /* ; */ -- ;\n",
    "SELECT $$;$$, E'\\';', \";\"",
    "SELECT evil(1)",
    "BEGIN",
    "COMMIT AND CHAIN",
    "ROLLBACK TO SAVEPOINT a",
    "SET a = 'b;c'",
    "SET LOCAL a = 1",
    "RESET ALL",
    "SELECT set_config('a', 'b', false)",
    "SELECT pg_advisory_lock(1), currval('a')",
    "INSERT INTO t VALUES (1)",
    "WITH a (x) AS (SELECT 1), b (y) AS (SELECT 2) SELECT 1",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END",
    "CREATE RULE r AS ON UPDATE TO t DO ALSO (SELECT 1; SELECT 2)",
    "COPY t (a) TO STDOUT (FORMAT csv)",
    "EXPLAIN (ANALYZE) UPDATE t SET a = 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "DEALLOCATE PREPARE all",
    "SELECT \\",
    "SET nonsense",
    "",
    " ",
    "-- nothing\n",
];

/// Pieces that texts made of them are more often near to SQL.
const PIECES: &[&str] = &[
    "SELECT",
    "select",
    "WITH",
    "AS",
    "(",
    ")",
    "(",
    ")",
    ",",
    ";",
    ".",
    "'",
    "\"",
    "E'",
    "U&\"",
    "U&'",
    "b'",
    "$$",
    "$a$",
    "$1",
    "--",
    "/*",
    "*/",
    "\n",
    " ",
    " ",
    " ",
    "\\",
    "evil",
    "abs",
    "set_config",
    "pg_catalog",
    "'a'",
    "'b'",
    "false",
    "true",
    "1",
    "1.5e3",
    "0x",
    "INTO",
    "TEMP",
    "UPDATE",
    "pg_settings",
    "FOR",
    "KEY",
    "NO",
    "SET",
    "RESET",
    "SESSION",
    "LOCAL",
    "TIME",
    "ZONE",
    "TO",
    "=",
    "-",
    "::",
    ":=",
    "DISTINCT",
    "ON",
    "OPERATOR",
    "BEGIN",
    "ATOMIC",
    "CASE",
    "END",
    "CREATE",
    "FUNCTION",
    "COPY",
    "EXPLAIN",
    "ANALYZE",
    "DECLARE",
    "CURSOR",
    "HOLD",
    "PREPARE",
    "TRANSACTION",
    "ROLLBACK",
    "SAVEPOINT",
    "x",
    "é",
    "\u{0}",
    "[",
    "]",
    "{",
    "N'",
    "UESCAPE",
    "CHARACTERISTICS",
    "ROLE",
    "NAMES",
    "XML",
    "OPTION",
    "SCHEMA",
    "DEFAULT",
    "ALL",
    "DEALLOCATE",
    "DISCARD",
];

pub(super) fn text_of_pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

/// A text in which words stand apart.
pub(super) fn spaced_text_of_pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.join(" "))
}

/// The effects with pure ones counted: one for each of `statements` that is none, if all are pure.
fn effects_of_joined(statements: &[&str]) -> Vec<Effect> {
    match classify(statements.join(";").as_bytes(), true) {
        Class::Pure => statements
            .iter()
            .flat_map(|sql| effects(sql))
            .map(|_| Effect::Pure)
            .collect(),
        Class::Statements(effects) => effects,
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(sql in prop::collection::vec(any::<u8>(), 0..200), conforming: bool) {
        classify(&sql, conforming);
    }

    #[test]
    fn no_text_near_to_sql_makes_it_panic(sql in text_of_pieces(), spaced in spaced_text_of_pieces(), conforming: bool) {
        classify(sql.as_bytes(), conforming);
        classify(spaced.as_bytes(), conforming);
    }

    #[test]
    fn joined_statements_have_their_effects_in_order(
        statements in prop::collection::vec(prop::sample::select(STATEMENTS), 0..8),
    ) {
        let apart: Vec<Effect> = statements.iter().flat_map(|sql| effects(sql)).collect();
        prop_assert_eq!(effects_of_joined(&statements), apart);
    }

    #[test]
    fn a_call_is_found_whatever_stands_before_it(before in spaced_text_of_pieces()) {
        // Statements of other kinds are not searched for calls.
        prop_assume!(!before.contains(';'));
        // Only where the call is not code at all may the string be pure.
        let sql = format!("SELECT {before} , evil_function() ");
        if classify(sql.as_bytes(), true) == Class::Pure {
            let swallowed = before.contains(['\'', '"', '$', '-', '/']);
            prop_assert!(swallowed, "{}", sql);
        }
    }

    #[test]
    fn comments_and_case_make_no_difference(statement in prop::sample::select(STATEMENTS)) {
        let commented = format!("/* ; */{}/**/", statement.replace(' ', " /* 'x */ "));
        if !statement.contains(['\'', '"', '$', '\\']) && !statement.contains("--") {
            prop_assert_eq!(effects(&commented), effects(statement));
            prop_assert_eq!(effects(&statement.to_ascii_lowercase()), effects(&statement.to_ascii_uppercase()));
        }
    }
}

//! `PREPARE` and `EXECUTE`: which name, and what the statement of that name does.

use super::*;
use crate::sql::Executes;

/// What each statement prepares: the name, what running it does, and its text.
fn prepares(sql: &str) -> Vec<(String, Effect, &str)> {
    let effects = effects(sql).into_iter();
    effects
        .map(|effect| match effect {
            Effect::Prepare(it) => (it.name, it.body, &sql[it.at]),
            effect => panic!("{sql}: {effect:?}"),
        })
        .collect()
}

#[test]
fn prepare_says_which_name_it_gives_and_what_its_statement_will_do() {
    let one = |name: &str, body, sql| vec![(name.to_owned(), body, sql)];
    let pin = Effect::Pin;
    for (sql, name, body) in [
        ("PREPARE a AS SELECT 1", "a", Effect::Pure),
        (
            "prepare A (int, numeric(3), f()) as values ($1)",
            "a",
            Effect::Pure,
        ),
        (
            "PREPARE transaction AS TABLE t",
            "transaction",
            Effect::Pure,
        ),
        ("PREPARE \"as\" AS (SELECT 1)", "as", Effect::Pure),
        ("PREPARE a(a.b[], int) AS SELECT f()", "a", Effect::Opaque),
        (
            "PREPARE a AS WITH x AS (DELETE FROM t) SELECT 1",
            "a",
            Effect::Opaque,
        ),
        (
            "PREPARE a AS INSERT INTO t VALUES ($1)",
            "a",
            Effect::Opaque,
        ),
        (
            "PREPARE a AS SELECT pg_advisory_lock($1)",
            "a",
            pin(PinReason::AdvisoryLock),
        ),
        (
            "PREPARE a AS SELECT set_config('x', $1, false)",
            "a",
            pin(PinReason::SetConfig),
        ),
    ] {
        assert_eq!(prepares(sql), one(name, body, sql));
    }
    let sql = "PREPARE a AS SELECT set_config('work_mem', '1MB', false)";
    let tracked = prepares(sql).remove(0).1;
    assert!(
        matches!(tracked, Effect::Set { .. } | Effect::SetMany(_)),
        "{tracked:?}"
    );
    let sql = "/* ; */ PREPARE a AS SELECT ';'; ; PREPARE b AS SELECT f(); ";
    assert_eq!(
        prepares(sql),
        [
            ("a".to_owned(), Effect::Pure, "PREPARE a AS SELECT ';';"),
            ("b".to_owned(), Effect::Opaque, "PREPARE b AS SELECT f();"),
        ]
    );
}

#[test]
fn execute_says_which_name_it_runs_and_what_it_does_besides() {
    let temporary = Effect::Pin(PinReason::TemporaryObject);
    for (sql, name, own, runs) in [
        ("EXECUTE a", "a", Effect::Pure, true),
        ("execute \"A\" (1, lower('x'))", "A", Effect::Pure, true),
        ("EXECUTE a (f(1))", "a", Effect::Opaque, true),
        ("EXPLAIN EXECUTE a", "a", Effect::Pure, false),
        (
            "EXPLAIN (ANALYZE FALSE, VERBOSE) EXECUTE a",
            "a",
            Effect::Pure,
            false,
        ),
        (
            "EXPLAIN (ANALYZE off, ANALYZE) EXECUTE a",
            "a",
            Effect::Pure,
            true,
        ),
        ("EXPLAIN (VERBOSE) EXECUTE a(1)", "a", Effect::Pure, false),
        ("EXPLAIN ANALYZE EXECUTE a(1)", "a", Effect::Pure, true),
        ("CREATE TABLE t AS EXECUTE a", "a", Effect::Opaque, true),
        (
            "CREATE TEMP TABLE t (x) AS EXECUTE a(1) WITH NO DATA",
            "a",
            temporary.clone(),
            true,
        ),
        (
            "EXPLAIN ANALYZE CREATE TEMP TABLE t AS EXECUTE a",
            "a",
            temporary,
            true,
        ),
        (
            "EXPLAIN CREATE TABLE t AS EXECUTE a",
            "a",
            Effect::Pure,
            false,
        ),
    ] {
        let name = name.to_owned();
        assert_each(
            &Effect::Execute(Box::new(Executes { name, own, runs })),
            &[sql],
        );
    }
}

#[test]
fn what_execute_does_is_what_its_statement_does_and_what_it_does_besides() {
    let execute = |own: Effect, runs: bool| Executes {
        name: String::new(),
        own,
        runs,
    };
    let pin = Effect::Pin;
    let (lock, held) = (PinReason::AdvisoryLock, PinReason::TemporaryObject);
    for (own, runs, body, expected) in [
        (Effect::Pure, true, Effect::Begin, Effect::Begin),
        (Effect::Pure, true, Effect::CopyIn, Effect::CopyIn),
        (Effect::Pure, false, Effect::CopyIn, Effect::Opaque),
        (Effect::Pure, false, pin(lock), Effect::Opaque),
        (Effect::Opaque, true, Effect::Pure, Effect::Opaque),
        (
            Effect::Opaque,
            true,
            Effect::Begin,
            pin(PinReason::UntrackedSetting),
        ),
        (Effect::Opaque, true, pin(lock), pin(lock)),
        (
            pin(held),
            true,
            pin(lock),
            Effect::PinMany(vec![held, lock]),
        ),
        (
            Effect::Pure,
            true,
            Effect::DeallocateAll,
            pin(PinReason::SqlPrepare),
        ),
    ] {
        assert_eq!(execute(own, runs).effect(&body), expected, "{body:?}");
    }
}

#[test]
fn what_is_called_execute_is_no_execute() {
    for (sql, expected) in [
        (
            "CREATE TABLE t AS SELECT 1 AS execute FROM a",
            Effect::Opaque,
        ),
        (
            "CREATE TABLE t AS (SELECT 1 AS execute FROM a)",
            Effect::Opaque,
        ),
        (
            "CREATE VIEW v AS SELECT 1 AS execute FROM a",
            Effect::Opaque,
        ),
        ("EXPLAIN SELECT 1 AS execute FROM a", Effect::Pure),
        ("EXPLAIN SELECT (SELECT 1 AS execute)", Effect::Pure),
        ("EXPLAIN DELETE FROM t AS execute WHERE a", Effect::Opaque),
    ] {
        assert_eq!(effects(sql), [expected], "{sql}");
    }
}

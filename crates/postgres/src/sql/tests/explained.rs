//! What is said of statements, and that it is what `classify` says.

use forebay_core::PinReason;
use proptest::prelude::*;

use super::properties::{spaced_text_of_pieces, text_of_pieces};
use super::*;
use crate::sql::{Explained, What, explain};

fn explained(sql: &str) -> Vec<Explained> {
    explain(sql.as_bytes(), true, 100)
}

/// The findings of the only statement in `sql`.
fn findings(sql: &str) -> Vec<(What, String)> {
    let mut explained = explained(sql);
    assert_eq!(explained.len(), 1, "{sql}");
    let findings = explained.remove(0).findings.into_iter();
    findings.map(|found| (found.what, found.written)).collect()
}

fn assert_findings(sql: &str, expected: &[(What, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(what, written)| (*what, (*written).to_owned()))
        .collect();
    assert_eq!(findings(sql), expected, "{sql}");
}

#[test]
fn the_words_that_decide_are_named() {
    assert_findings("SELECT abs(1)", &[]);
    assert_findings("SET a = 1", &[]);
    assert_findings(
        "SELECT evil(1), app . \"F\"(2), abs(evil(3))",
        &[(What::Calls, "evil"), (What::Calls, "app.\"F\"")],
    );
    assert_findings(
        "SELECT pg_catalog.evil()",
        &[(What::Calls, "pg_catalog.evil")],
    );
    assert_findings("SELECT app.abs(1)", &[(What::Calls, "app.abs")]);
    assert_findings("SELECT 1 OPERATOR(app.+) 2", &[(What::Operator, "app")]);
    assert_findings("update t SET a = 1", &[(What::Writes, "update")]);
    assert_findings(
        "WITH a (x) AS (DELETE FROM t RETURNING 1) SELECT 1",
        &[(What::Writes, "delete")],
    );
    assert_findings(
        "EXPLAIN ANALYZE WITH a (x) AS (SELECT 1) INSERT INTO t SELECT f(1)",
        &[(What::Writes, "insert"), (What::Calls, "f")],
    );
    assert_findings("COPY (SELECT f(1)) TO STDOUT", &[(What::Calls, "f")]);
    assert_findings("COPY t FROM STDIN", &[(What::Statement, "COPY")]);
    assert_findings("create table t ()", &[(What::Statement, "CREATE")]);
    assert_findings("CREATE TEMP TABLE t ()", &[(What::Statement, "CREATE")]);
    assert_findings(
        "SELECT 1 INTO TEMP t",
        &[
            (What::Writes, "into"),
            (What::Pins(PinReason::TemporaryObject), "temp"),
        ],
    );
    assert_findings("DO $$secret$$", &[(What::Statement, "DO")]);
    assert_findings(
        "DECLARE c CURSOR WITH HOLD FOR SELECT currval('a')",
        &[
            (What::Statement, "DECLARE"),
            (What::Pins(PinReason::SequenceState), "currval"),
        ],
    );
    assert_findings(
        "SELECT pg_catalog.pg_advisory_lock(1)",
        &[(
            What::Pins(PinReason::AdvisoryLock),
            "pg_catalog.pg_advisory_lock",
        )],
    );
    assert_findings("SELECT 1 OPERATOR('secret'.+) 2", &[(What::Operator, "?")]);
    assert_findings("SELECT app/* secret */.f()", &[(What::Calls, "app.f")]);
    assert_findings("SELECT 'secret", &[(What::Unreadable, "")]);
    assert_findings("PREPARE f (int) AS SELECT abs($1)", &[]);
    assert_findings("PREPARE p (int) AS SELECT f($1)", &[(What::Calls, "f")]);
    assert_findings("EXECUTE f", &[]);
    assert_findings("EXECUTE f (abs(1))", &[]);
    assert_findings("EXECUTE p (f(1))", &[(What::Calls, "f")]);
    assert_findings("EXPLAIN EXECUTE p (f(1))", &[(What::Calls, "f")]);
    assert_findings(
        "CREATE TABLE t AS EXECUTE p (1)",
        &[(What::Statement, "CREATE")],
    );
}

#[test]
fn statements_are_told_apart() {
    let sql = " SELECT 1 ;; BEGIN; SELECT ';' , 'b' -- c\n";
    let texts: Vec<_> = explained(sql)
        .into_iter()
        .map(|one| (sql[one.range].trim_end(), one.normalized))
        .collect();
    let expected = [
        ("SELECT 1", "select ?"),
        ("BEGIN", "begin"),
        ("SELECT ';' , 'b' -- c", "select ?, ?"),
    ];
    assert_eq!(
        texts,
        expected.map(|(text, shown)| (text, shown.to_owned()))
    );
    assert_eq!(explained(" ; -- nothing"), []);
}

/// Whether there has to be a reason for the effect.
fn wants_reason(effect: &Effect) -> bool {
    match effect {
        Effect::Prepare(prepares) => wants_reason(&prepares.body),
        Effect::Execute(executes) => wants_reason(&executes.own),
        Effect::Opaque | Effect::CopyIn | Effect::Pin(_) | Effect::PinMany(_) => true,
        _ => false,
    }
}

/// The effects as `classify` lists them, but for pure ones, which it may only count.
fn impure(sql: &str) -> Vec<Effect> {
    effects(sql)
        .into_iter()
        .filter(|effect| *effect != Effect::Pure)
        .collect()
}

proptest! {
    #[test]
    fn what_is_explained_is_what_is_classified(sql in text_of_pieces(), spaced in spaced_text_of_pieces()) {
        for sql in [sql, spaced] {
            let effects: Vec<Effect> = explained(&sql)
                .into_iter()
                .inspect(|one| {
                    assert_eq!(wants_reason(&one.effect), !one.findings.is_empty(), "{sql}");
                })
                .map(|one| one.effect)
                .filter(|effect| *effect != Effect::Pure)
                .collect();
            prop_assert_eq!(effects, impure(&sql), "{}", sql);
        }
    }
}

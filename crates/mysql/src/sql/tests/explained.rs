//! What is said of statements, and that it is what `classify` says.

use proptest::prelude::*;

use super::properties::{spaced_text_of_pieces, text_of_pieces};
use super::*;

fn explained(sql: &str) -> Vec<Explained> {
    explain(sql.as_bytes(), mysql(), 100)
}

fn assert_findings(sql: &str, expected: &[(Fact, &str)]) {
    let mut explained = explained(sql);
    assert_eq!(explained.len(), 1, "{sql}");
    let found: Vec<_> = explained
        .remove(0)
        .findings
        .into_iter()
        .map(|finding| (finding.fact, finding.written))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(fact, written)| (*fact, (*written).to_owned()))
        .collect();
    assert_eq!(found, expected, "{sql}");
}

#[test]
fn the_words_that_decide_are_named() {
    assert_findings("SELECT abs(1)", &[]);
    assert_findings(
        "SELECT evil(1), app . `F`(2), abs(evil(3))",
        &[
            (Fact::CallsUnknown, "evil"),
            (Fact::CallsUnknown, "app.`F`"),
        ],
    );
    assert_findings(
        "update t SET a = @b := GET_LOCK('secret', 1)",
        &[
            (Fact::Writes, "update"),
            (Fact::WritesUserVariable, "@b"),
            (Fact::TakesNamedLock, "get_lock"),
        ],
    );
    assert_findings(
        "SELECT @@session.sql_mode",
        &[(Fact::ReadsSystemVariable, "@@session.sql_mode")],
    );
    assert_findings("SELECT /*!50101 1 */", &[(Fact::VersionedComment, "")]);
    assert_findings("SELECT 'secret", &[(Fact::Unreadable, "")]);
    assert_findings("CALL d.p(1)", &[(Fact::CallsUnknown, "d.p")]);
    assert_findings("SET GLOBAL a = 1", &[(Fact::Administers, "global")]);
}

#[test]
fn verdicts_are_sentences() {
    for (sql, verdict) in [
        ("SELECT 1", "leaves the session alone"),
        ("SELECT f(1)", "f is not known to leave the session alone"),
        ("USE a", "chooses the database"),
        (
            "INSERT INTO t VALUES (LAST_INSERT_ID())",
            "insert writes data, for which triggers may run; last_insert_id reads what an earlier statement inserted",
        ),
        ("SELECT 'a", "cannot be read with certainty"),
    ] {
        assert_eq!(explained(sql)[0].verdict(), verdict, "{sql}");
    }
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
    assert_eq!(explained(" ; "), []);
    let comment = explained("SELECT 1; -- 'secret'");
    assert_eq!((comment.len(), comment[1].normalized.as_str()), (2, ""));
}

#[test]
fn what_nobody_can_read_is_not_shown() {
    let all = explained("SET sql_mode = @a; SELECT \"secret\"");
    assert_eq!(all.len(), 2);
    assert!(
        !all[1].normalized.contains("secret"),
        "{}",
        all[1].normalized
    );
    // Read as it was when it was sent: a text, not a name.
    let ansi = under("ANSI_QUOTES");
    let all = explain(b"SET sql_mode = ''; SELECT \"secret\"", ansi, 100);
    assert_eq!(all[1].normalized, "select ?");
}

proptest! {
    #[test]
    fn what_is_explained_is_what_is_classified(sql in text_of_pieces(), spaced in spaced_text_of_pieces()) {
        for sql in [sql, spaced] {
            for dialect in both() {
                let explained = explain(sql.as_bytes(), dialect, 100);
                for one in &explained {
                    let told: Facts = one.findings.iter().map(|finding| finding.fact).collect();
                    prop_assert_eq!(told, one.statement.facts, "{}", &sql);
                }
                let explained: Vec<_> = explained.into_iter().map(|one| one.statement).collect();
                prop_assert_eq!(explained, statements(&sql, dialect), "{}", &sql);
            }
        }
    }
}

//! Statements that SQL prepares: their names, their texts, and what running them does.

use super::*;

fn prepares(sql: &str) -> Prepares {
    match one(sql, mysql()).effect {
        Effect::Prepare(prepares) => *prepares,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn a_text_that_is_written_out_tells_what_running_it_does() {
    let found = prepares("PREPARE S1 FROM 'SELECT ? + 1'");
    assert_eq!(found.name, "s1");
    assert_eq!(found.text.as_deref(), Some("SELECT ? + 1"));
    assert!(found.body.is_pure());
    assert_eq!(found.at, 0..30);
    assert!(
        prepares("PREPARE `a b` FROM \"SELECT 'it''s', \\\"x\\\"\"")
            .body
            .is_pure()
    );
    let body = |text: &str| prepares(&format!("PREPARE a FROM {text}")).body;
    assert!(body("'SELECT f(1)'").is_opaque());
    assert_eq!(
        body("'SELECT GET_LOCK(?, 1)'").facts,
        Facts::of(Fact::TakesNamedLock)
    );
    assert_eq!(body("'UPDATE t SET a = ?'").facts, Facts::of(Fact::Writes));
    assert!(matches!(
        body("'SET sql_mode = ''ANSI'''").effect,
        Effect::Set(_)
    ));
    for several in ["'SELECT 1; SELECT 2'", "''"] {
        assert!(body(several).is_opaque(), "{several}");
    }
}

#[test]
fn other_texts_are_opaque() {
    for (text, facts) in [
        ("@a", &[Fact::ReadsUserVariable][..]),
        ("CONCAT('SELECT ', 1)", &[]),
        ("f(1)", &[Fact::CallsUnknown]),
        ("N'SELECT 1'", &[]),
        ("x'53'", &[]),
        ("'SELECT ' '1'", &[]),
    ] {
        let statement = one(&format!("PREPARE a FROM {text}"), mariadb());
        assert_eq!(statement.facts, Facts::of_all(facts), "{text}");
        match statement.effect {
            Effect::Prepare(found) => {
                assert!(found.body.is_opaque() && found.text.is_none(), "{text}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    for dialect in both() {
        assert_opaque(
            dialect,
            &[
                "PREPARE",
                "PREPARE a",
                "PREPARE a AS 'b'",
                "PREPARE é FROM 'SELECT 1'",
                "PREPARE 'a' FROM 'SELECT 1'",
            ],
        );
    }
}

#[test]
fn execute_names_its_statement_and_its_arguments() {
    let a = || Effect::Execute("a".to_owned());
    assert_each(&a(), &[], &["EXECUTE a", "execute `A`;"]);
    assert_each(
        &a(),
        &[Fact::ReadsUserVariable, Fact::WritesUserVariable],
        &["EXECUTE a USING @x, @y"],
    );
    assert_in(
        mariadb(),
        &a(),
        &[Fact::CallsUnknown],
        &["EXECUTE a USING f(1)"],
    );
    assert_each(
        &Effect::Deallocate("a".to_owned()),
        &[],
        &["DEALLOCATE PREPARE a", "DROP PREPARE A"],
    );
    for dialect in both() {
        assert_opaque(
            dialect,
            &[
                "EXECUTE",
                "EXECUTE 'a'",
                "DEALLOCATE a",
                "DEALLOCATE PREPARE",
                "DROP PREPARE a b",
            ],
        );
    }
}

#[test]
fn what_is_executed_at_once_does_what_its_text_does() {
    assert_in(
        mariadb(),
        &Effect::Plain,
        &[],
        &["EXECUTE IMMEDIATE 'SELECT ?' USING 1"],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        &[Fact::TakesNamedLock],
        &["EXECUTE IMMEDIATE 'DO GET_LOCK(''a'', 1)'"],
    );
    let set = one("EXECUTE IMMEDIATE 'SET a = 1'", mariadb());
    assert!(matches!(set.effect, Effect::Set(_)));
    assert_opaque(
        mariadb(),
        &[
            "EXECUTE IMMEDIATE @a",
            "EXECUTE IMMEDIATE CONCAT('a', 'b')",
            "EXECUTE IMMEDIATE 'SELECT f(1)'",
            "EXECUTE IMMEDIATE 'PREPARE a FROM ''SELECT 1'''",
            "EXECUTE IMMEDIATE 'EXECUTE a'",
            "EXECUTE IMMEDIATE 'nonsense'",
        ],
    );
}

#[test]
fn executing_joins_what_both_do() {
    let execute = one("EXECUTE a USING @x", mysql());
    let body = prepares("PREPARE a FROM 'UPDATE t SET a = ?'").body;
    let both = execute.executing(&body);
    assert_eq!(both.effect, Effect::Plain);
    assert_eq!(
        both.facts,
        Facts::of_all(&[
            Fact::Writes,
            Fact::ReadsUserVariable,
            Fact::WritesUserVariable
        ])
    );
    let nested = prepares("PREPARE a FROM 'EXECUTE b'").body;
    assert!(execute.executing(&nested).is_opaque());
}

//! Tables of statements and what they do, as `classify` sees them; properties over texts of any kind.

mod bodies;
mod catalogue;
mod explained;
mod fingerprints;
mod lexical;
mod prepared;
mod properties;
mod queries;
mod settings;

use super::*;

fn mysql() -> Dialect {
    Dialect::new(Family::MySql, 90704)
}

fn mariadb() -> Dialect {
    Dialect::new(Family::MariaDb, 101119)
}

fn both() -> [Dialect; 2] {
    [mysql(), mariadb()]
}

/// A server of MySQL under this `sql_mode`.
fn under(sql_mode: &str) -> Dialect {
    Dialect {
        modes: Modes::of_sql_mode(sql_mode),
        ..mysql()
    }
}

fn statements(sql: &str, dialect: Dialect) -> Vec<Statement> {
    classify(sql.as_bytes(), dialect).statements().to_vec()
}

/// The only statement.
fn one(sql: &str, dialect: Dialect) -> Statement {
    let mut all = statements(sql, dialect);
    assert_eq!(all.len(), 1, "{sql}: {all:?}");
    all.remove(0)
}

/// One statement each, the same in both families.
fn assert_each(effect: &Effect, facts: &[Fact], sql: &[&str]) {
    for dialect in both() {
        assert_in(dialect, effect, facts, sql);
    }
}

fn assert_in(dialect: Dialect, effect: &Effect, facts: &[Fact], sql: &[&str]) {
    for sql in sql {
        let statement = one(sql, dialect);
        assert_eq!(statement.effect, *effect, "{sql} in {:?}", dialect.family);
        assert_eq!(
            statement.facts,
            Facts::of_all(facts),
            "{sql} in {:?}",
            dialect.family
        );
    }
}

fn assert_pure(sql: &[&str]) {
    assert_each(&Effect::Plain, &[], sql);
}

fn assert_plain(facts: &[Fact], sql: &[&str]) {
    assert_each(&Effect::Plain, facts, sql);
}

/// Each is opaque, whatever its facts.
fn assert_opaque(dialect: Dialect, sql: &[&str]) {
    for sql in sql {
        let all = statements(sql, dialect);
        let opaque = all.iter().any(Statement::is_opaque);
        assert!(opaque, "{sql} in {:?}: {all:?}", dialect.family);
    }
}

//! The same for statements of MySQL and MariaDB: what `forebay_mysql` reads out of a text, in words or JSON.

use super::{SHOWN_BYTES_MAX, Treatment, treatment};
use forebay_core::PinReason;
use forebay_mysql::from_client::TEXT_BYTES_MAX;
use forebay_mysql::judging::{Becomes, Said, of_statement};
use forebay_mysql::sql::{self, Dialect, Effect, Explained, Family, Modes};
use forebay_mysql::statements::{DATABASE, ROLE};
use forebay_mysql::tracking::text_of;
use serde_json::{Value, json};

/// Versions that are meant where none is named: those of the servers that are tested against.
const MYSQL_VERSION: u32 = 90_704;
const MARIADB_VERSION: u32 = 101_119;

/// How a server of this family reads texts under this `sql_mode`.
pub(super) fn dialect(family: Family, sql_mode: &str) -> Dialect {
    let version = match family {
        Family::MySql => MYSQL_VERSION,
        Family::MariaDb => MARIADB_VERSION,
    };
    Dialect {
        modes: Modes::of_sql_mode(sql_mode),
        ..Dialect::new(family, version)
    }
}

pub(super) fn as_text(text: &[u8], dialect: Dialect) -> String {
    let explained = sql::explain(text, dialect, SHOWN_BYTES_MAX);
    let mut output = String::new();
    for (index, statement) in explained.iter().enumerate() {
        let said = of_statement(&statement.statement, dialect);
        let Treatment { class, then } = treatment_of(&statement.statement.effect, &said);
        output += &format!("{:>3}  {class}\n", index + 1);
        output += &format!("     statement    {}\n", statement.normalized);
        output += &format!("     fingerprint  {}\n", statement.fingerprint);
        output += &format!("     because      {}\n", statement.verdict());
        output += &format!("     so           {then}\n");
    }
    if explained.is_empty() {
        output += "no statement\n";
    }
    if text.len() > TEXT_BYTES_MAX {
        output += &format!(
            "A text above {} KiB is not read: whoever gets its backend next gets it made new.\n",
            TEXT_BYTES_MAX / 1024
        );
    }
    output
}

pub(super) fn as_json(text: &[u8], dialect: Dialect) -> Value {
    let explained = sql::explain(text, dialect, SHOWN_BYTES_MAX);
    explained
        .iter()
        .map(|statement| one_as_json(statement, dialect))
        .collect()
}

fn one_as_json(statement: &Explained, dialect: Dialect) -> Value {
    let said = of_statement(&statement.statement, dialect);
    let Treatment { class, then } = treatment_of(&statement.statement.effect, &said);
    let settings = settings_of(&said)
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value, "local": false}));
    let settings: Vec<Value> = settings.collect();
    let pins = pins_of(&said).into_iter();
    let pins: Vec<Value> = pins
        .map(|(reason, until)| json!({"reason": reason.as_str(), "until": until}))
        .collect();
    json!({
        "statement": statement.normalized,
        "fingerprint": statement.fingerprint.to_string(),
        "class": class,
        "because": [statement.verdict()],
        "so": then,
        "settings": settings,
        "pins": pins,
    })
}

/// What it sets, and to which value, where that is known before and is its own.
fn settings_of(said: &Said) -> Vec<(&str, Option<&str>)> {
    let changes = said.changes.iter().filter_map(|(name, value)| match value {
        Becomes::Value(value) => Some((&**name, Some(text_of(value)))),
        Becomes::Default => Some((&**name, None)),
        Becomes::Nothing => None,
    });
    let computed = said.computed.iter().map(|name| (&**name, None));
    changes.chain(computed).collect()
}

/// Why it keeps its backend, and until when.
fn pins_of(said: &Said) -> Vec<(PinReason, &'static str)> {
    let mut pins: Vec<(PinReason, &'static str)> = Vec::new();
    let mut add = |reason| {
        if !pins.iter().any(|(known, _)| *known == reason) {
            pins.push((reason, until(reason)));
        }
    };
    said.pins.iter().copied().for_each(&mut add);
    let held = [
        (said.creates.is_some(), PinReason::TemporaryObject),
        (said.prepares.is_some(), PinReason::SqlPrepare),
        (
            said.handler.as_ref().is_some_and(|(_, opens)| *opens),
            PinReason::Handler,
        ),
        (said.counts_rows, PinReason::LeftBehind),
    ];
    for (_, reason) in held.into_iter().filter(|(is_so, _)| *is_so) {
        add(reason);
    }
    pins
}

fn until(reason: PinReason) -> &'static str {
    match reason {
        PinReason::TemporaryObject => "the last of its temporary tables is dropped",
        PinReason::SqlPrepare => "the last of its statements is deallocated",
        PinReason::NamedLock => "RELEASE_ALL_LOCKS()",
        PinReason::TableLock => "UNLOCK TABLES",
        PinReason::Handler => "the last of its handlers is closed",
        PinReason::OneShotSetting => "the next transaction has ended",
        PinReason::LeftBehind => {
            "another statement leaves nothing behind, if the session never asks for it"
        }
        _ => "the connection is reset (COM_RESET_CONNECTION) or its session ends",
    }
}

fn treatment_of(effect: &Effect, said: &Said) -> Treatment {
    let pins = pins_of(said);
    if !pins.is_empty() {
        let pins: Vec<String> = pins
            .iter()
            .map(|(reason, until)| {
                format!(
                    "{}: the client keeps its backend until {until}",
                    reason.as_str()
                )
            })
            .collect();
        return treatment("pins", pins.join("; "));
    }
    let settings = settings_of(said);
    if !settings.is_empty() {
        let shown = settings.into_iter().map(|(name, value)| {
            let is_computed = said.computed.iter().any(|it| &**it == name);
            match (name, value) {
                (DATABASE, Some(value)) => format!("the database {value}"),
                (ROLE, Some(value)) => format!("the roles {value}"),
                (name, Some(value)) => format!("{name} = {value}"),
                (name, None) if is_computed => format!("{name}, which the database is asked for"),
                (name, None) => format!("{name} = its default"),
            }
        });
        let shown: Vec<String> = shown.collect();
        let then = format!("{} on every backend it gets", shown.join(", "));
        return treatment("follows the client", then);
    }
    if said.is_opaque {
        return treatment(
            "opaque",
            "may change the session unseen: the backend is made new before another session gets it, and kept if the database reports a change",
        );
    }
    if said.asks.last_insert_id {
        return treatment(
            "harmless",
            "LAST_INSERT_ID() is what the client's own statements made it, on every backend it gets",
        );
    }
    match effect {
        Effect::Begin { .. }
        | Effect::Commit(_)
        | Effect::Rollback(_)
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_)
        | Effect::Xa(_) => treatment(
            "transaction",
            "the client keeps its backend until the database says that no transaction is open",
        ),
        _ if said.writes => treatment(
            "harmless",
            "any backend of the pool may run it; a trigger that changes the session is reported, and keeps the backend",
        ),
        _ => treatment(
            "harmless",
            "any backend of the pool may run it and serve others afterwards",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_has_a_class() {
        let dialect = dialect(Family::MySql, "");
        for (sql, expected) in [
            ("SELECT 1", &["harmless"][..]),
            (
                "SET time_zone = '+01:00'",
                &["follows the client", "time_zone = '+01:00' on every"],
            ),
            ("USE shop", &["follows the client", "the database shop"]),
            (
                "CREATE TEMPORARY TABLE t (i INT)",
                &["pins", "temporary_object"],
            ),
            ("SELECT GET_LOCK('a', 1)", &["pins", "named_lock"]),
            ("CALL p()", &["opaque", "made new"]),
            ("INSERT INTO t VALUES (1)", &["harmless", "trigger"]),
            ("START TRANSACTION", &["transaction"]),
            ("SELECT LAST_INSERT_ID()", &["harmless", "LAST_INSERT_ID()"]),
            ("SELECT 1; SET @@sql_mode = ''", &["  1  ", "  2  follows"]),
            (" ; ", &["no statement"]),
        ] {
            let shown = as_text(sql.as_bytes(), dialect);
            for part in expected {
                assert!(shown.contains(part), "{sql}: {shown}");
            }
        }
    }

    #[test]
    fn modes_decide_how_a_text_is_read() {
        let sql = b"SELECT \"a' , GET_LOCK('b', 1), 'c\"";
        let shown = |mode| as_text(sql, dialect(Family::MySql, mode));
        assert!(shown("").contains("harmless"));
        assert_eq!(
            as_json(sql, dialect(Family::MariaDb, ""))
                .as_array()
                .map(Vec::len),
            Some(1)
        );
    }
}

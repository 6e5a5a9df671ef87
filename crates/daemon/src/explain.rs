//! `forebay explain`: how each statement of a text would be treated, and why. Connects to nothing.
//!
//! What a statement does and which words decided comes from `forebay_postgres::sql`; here it is put into words, or JSON. `mysql.rs` does
//! the same for the other family.

mod mysql;

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use forebay_core::PinReason;
use forebay_mysql::sql::Family;
use forebay_postgres::from_client::QUERY_INSPECTED_BYTES_MAX;
use forebay_postgres::pinning::outlives_discard_all;
use forebay_postgres::sql::{
    self, Effect, Executes, Explained, Finding, Prepares, SetValue, What, quote_literal,
};
use serde_json::{Value, json};

use crate::cli::{ExplainArgs, ExplainEngine};

/// No message of the protocol is longer.
const TEXT_BYTES_MAX: u64 = 1 << 30;

/// The most of a statement that is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 1000;

/// Prints what becomes of each statement to standard output.
///
/// # Errors
/// If standard input cannot be read.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let text = text(&args.sql)?;
    let family = match args.engine {
        ExplainEngine::Postgres => return write(&of_postgres(&text, args)),
        ExplainEngine::Mysql => Family::MySql,
        ExplainEngine::Mariadb => Family::MariaDb,
    };
    let dialect = mysql::dialect(family, &args.sql_mode);
    write(&match args.json {
        true => format!("{:#}\n", mysql::as_json(&text, dialect)),
        false => mysql::as_text(&text, dialect),
    })
}

fn of_postgres(text: &[u8], args: &ExplainArgs) -> String {
    let explained = sql::explain(text, !args.backslash_escapes, SHOWN_BYTES_MAX);
    if args.json {
        let statements: Vec<Value> = explained.iter().map(as_json).collect();
        format!("{:#}\n", Value::from(statements))
    } else {
        as_text(&explained, text.len())
    }
}

fn write(output: &str) -> Result<()> {
    // Nobody reads any more: not our problem.
    let _ = std::io::stdout().write_all(output.as_bytes());
    Ok(())
}

fn text(argument: &str) -> Result<Vec<u8>> {
    if argument != "-" {
        return Ok(argument.as_bytes().to_vec());
    }
    let mut text = Vec::new();
    std::io::stdin()
        .take(TEXT_BYTES_MAX)
        .read_to_end(&mut text)
        .context("standard input")?;
    Ok(text)
}

/// What becomes of a statement.
struct Treatment {
    /// One of a few words.
    class: &'static str,
    /// What follows from it.
    then: String,
}

fn treatment(class: &'static str, then: impl Into<String>) -> Treatment {
    let then = then.into();
    Treatment { class, then }
}

fn treatment_of(effect: &Effect) -> Treatment {
    match effect {
        Effect::Pure => treatment(
            "harmless",
            "any backend of the pool may run it and serve others afterwards",
        ),
        Effect::Opaque => treatment("opaque", ASKED),
        Effect::CopyIn => treatment("opaque", format!("reads what the client sends; {ASKED}")),
        Effect::Begin
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::PrepareTransaction
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_) => treatment(
            "transaction",
            "the client keeps its backend until the transaction ends",
        ),
        Effect::Set { .. } | Effect::SetMany(_) => treatment(
            "follows the client",
            format!(
                "{} on every backend it gets, once committed",
                settings(effect)
            ),
        ),
        Effect::Reset(name) => treatment(
            "follows the client",
            format!("{name} is what the session began with"),
        ),
        Effect::ResetAll => treatment(
            "follows the client",
            "all settings are what the session began with",
        ),
        Effect::SetLocal => treatment("harmless", "ends with the transaction"),
        Effect::SetLocally { session, .. } if session.is_empty() => treatment(
            "harmless",
            format!("{}; ends with the transaction", settings(effect)),
        ),
        Effect::SetLocally { .. } => treatment("follows the client", settings(effect)),
        Effect::DiscardAll => treatment(
            "follows the client",
            "clears the client's own settings and prepared statements, and ends most pins",
        ),
        Effect::DiscardPlans | Effect::DiscardTemp | Effect::DiscardSequences => treatment(
            "harmless",
            "drops what the backend has, which nobody else relies on",
        ),
        Effect::Prepare(prepares) => treatment("prepared statements", prepared(prepares)),
        Effect::Execute(executes) => treatment("prepared statements", executed(executes)),
        Effect::Deallocate(name) => treatment(
            "prepared statements",
            format!("drops the client's own {name}"),
        ),
        Effect::DeallocateAll => {
            treatment("prepared statements", "drops all that are the client's own")
        }
        Effect::Close => treatment("harmless", "a cursor that pins may be gone"),
        Effect::Listen(_) => treatment(
            "notifications",
            "heard by one connection for all clients of the database",
        ),
        Effect::Unlisten(_) | Effect::UnlistenAll => {
            treatment("notifications", "the client listens no more")
        }
        Effect::Notify => treatment("harmless", "notifies others once it is committed"),
        Effect::Pin(reason) => treatment("pins", pin(*reason)),
        Effect::PinMany(reasons) => {
            let pins: Vec<String> = reasons.iter().map(|reason| pin(*reason)).collect();
            treatment("pins", pins.join("; "))
        }
    }
}

const ASKED: &str = "may change the session unseen, so the database is asked what it left: that follows the client, or pins";

fn prepared(prepares: &Prepares) -> String {
    let name = &prepares.name;
    let follows = format!("{name} is the client's own, on every backend it gets");
    match treatment_of(&prepares.body) {
        Treatment { class, .. } if prepares.body == Effect::Pure => format!("{follows}; {class}"),
        Treatment { class, then } => format!("{follows}; when executed, {class}: {then}"),
    }
}

fn executed(executes: &Executes) -> String {
    let Executes { name, own, runs } = executes;
    let does = if *runs {
        format!("does what the client's own {name} does")
    } else {
        format!("plans the client's own {name}")
    };
    match own {
        Effect::Pure => does,
        own => format!("{does}; besides, {}", treatment_of(own).then),
    }
}

fn pin(reason: PinReason) -> String {
    if is_asked(reason) {
        let reason = reason.as_str();
        return format!(
            "{reason}: the database is asked what was set: that follows the client, or it keeps its backend"
        );
    }
    format!(
        "{}: the client keeps its backend until {}",
        reason.as_str(),
        end_of(reason)
    )
}

/// Whether the database is asked at the end of the transaction, and the client keeps its backend only if it cannot tell.
fn is_asked(reason: PinReason) -> bool {
    matches!(reason, PinReason::SetConfig | PinReason::UntrackedSetting)
}

/// When a pin for this reason ends.
fn end_of(reason: PinReason) -> &'static str {
    // A procedure may have left what outlives DISCARD ALL, or nothing: the database is asked.
    if outlives_discard_all(reason) && reason != PinReason::ProcedureCall {
        "its session ends"
    } else {
        "nothing is left there that cannot follow it, or its session ends"
    }
}

/// The settings that change, as in `a = 'b', c = 'd' until the transaction ends`.
fn settings(effect: &Effect) -> String {
    let shown: Vec<String> = settings_of(effect)
        .into_iter()
        .map(|(name, value, local)| {
            let name = if name.is_empty() { "settings" } else { name };
            let value = value.map_or_else(String::new, |value| format!(" = {value}"));
            format!("{name}{value}{}", if local { " (local)" } else { "" })
        })
        .collect();
    shown.join(", ")
}

/// Each setting that changes, its value if the text tells it, and whether only until the transaction ends.
fn settings_of(effect: &Effect) -> Vec<(&str, Option<String>, bool)> {
    let session = |(name, value)| (name, Some(shown_value(value)), false);
    match effect {
        Effect::Set { name, value } => vec![session((name.as_str(), value))],
        Effect::SetMany(settings) => settings
            .iter()
            .map(|(name, value)| session((name.as_str(), value)))
            .collect(),
        Effect::SetLocally {
            local,
            session: kept,
        } => {
            let local = local
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_ref().map(shown_value), true));
            let kept = kept
                .iter()
                .map(|(name, value)| session((name.as_str(), value)));
            local.chain(kept).collect()
        }
        _ => Vec::new(),
    }
}

fn shown_value(value: &SetValue) -> String {
    match value {
        SetValue::Sql(sql) => sql.clone(),
        SetValue::Literal(value) => quote_literal(value),
        SetValue::Default => "DEFAULT".to_owned(),
    }
}

/// The reason in words, beginning with those of the statement.
fn because(finding: &Finding) -> String {
    let written = &finding.written;
    match finding.what {
        What::Statement if written.is_empty() => {
            "not the beginning of a statement that is known".to_owned()
        }
        What::Statement => format!("{written}, by its kind"),
        What::Calls => format!("{written}() is not known to leave the session alone"),
        What::Operator => format!("an operator of the schema {written} may be anybody's function"),
        What::Writes => format!("{written} writes: triggers, rules and defaults may run any code"),
        What::Nested => "brackets nested too deep to be followed".to_owned(),
        What::Pins(reason) => format!("{written}: {}", reason.as_str()),
        What::Unreadable => "the server will refuse the text, or may read it otherwise".to_owned(),
    }
}

fn as_text(explained: &[Explained], length: usize) -> String {
    let mut output = String::new();
    for (index, statement) in explained.iter().enumerate() {
        let Treatment { class, then } = treatment_of(&statement.effect);
        output += &format!("{:>3}  {class}\n", index + 1);
        output += &format!("     statement    {}\n", statement.normalized);
        output += &format!("     fingerprint  {}\n", statement.fingerprint);
        for finding in &statement.findings {
            output += &format!("     because      {}\n", because(finding));
        }
        output += &format!("     so           {then}\n");
    }
    if explained.is_empty() {
        output += "no statement\n";
    }
    if length > QUERY_INSPECTED_BYTES_MAX {
        output += &format!(
            "A query string above {} KiB is not read: what it did is told by the database's answers alone.\n",
            QUERY_INSPECTED_BYTES_MAX / 1024
        );
    }
    output
}

fn as_json(statement: &Explained) -> Value {
    let Treatment { class, then } = treatment_of(&statement.effect);
    let settings: Vec<Value> = settings_of(&statement.effect)
        .into_iter()
        .map(|(name, value, local)| json!({"name": name, "value": value, "local": local}))
        .collect();
    let pins: Vec<Value> = pins_of(&statement.effect)
        .iter()
        .map(|reason| json!({"reason": reason.as_str(), "until": end_of(*reason)}))
        .collect();
    let because: Vec<String> = statement.findings.iter().map(because).collect();
    json!({
        "statement": statement.normalized,
        "fingerprint": statement.fingerprint.to_string(),
        "class": class,
        "because": because,
        "so": then,
        "settings": settings,
        "pins": pins,
    })
}

fn pins_of(effect: &Effect) -> &[PinReason] {
    match effect {
        Effect::Execute(executes) => executes.own.pins(),
        effect => effect.pins(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> String {
        as_text(
            &sql::explain(sql.as_bytes(), true, SHOWN_BYTES_MAX),
            sql.len(),
        )
    }

    #[test]
    fn every_statement_has_a_class_and_what_is_not_harmless_a_reason() {
        for (sql, expected) in [
            ("SELECT 1", &["harmless", "select ?"][..]),
            (
                "SET app.tenant TO 'seven'",
                &["follows the client", "app.tenant = 'seven' on every"],
            ),
            (
                "SELECT set_config('a.b', 'c', true)",
                &["harmless", "a.b = 'c' (local)"],
            ),
            (
                "SELECT f(1)",
                &["opaque", "f() is not known", "the database is asked"],
            ),
            ("UPDATE t SET a = 1", &["opaque", "update writes"]),
            (
                "LISTEN U&\"a\"",
                &[
                    "pins",
                    "LISTEN, by its kind",
                    "listen: the client keeps its backend until nothing",
                ],
            ),
            (
                "LOAD 'x'",
                &["pins", "load_library", "until its session ends"],
            ),
            (
                "SELECT currval('a'), setseed(1)",
                &[
                    "currval: sequence_state",
                    "setseed: seed",
                    "; seed: the client",
                ],
            ),
            ("BEGIN", &["transaction"]),
            ("DEALLOCATE a", &["prepared statements"]),
            (
                "PREPARE a AS SELECT 1",
                &["prepared statements", "a is the client's own", "; harmless"],
            ),
            (
                "PREPARE a AS SELECT f()",
                &["f() is not known", "when executed, opaque: may change"],
            ),
            (
                "EXECUTE a (g())",
                &[
                    "g() is not known",
                    "does what the client's own a does; besides, may",
                ],
            ),
            ("SELECT 'a", &["opaque", "refuse"]),
            (" ; ", &["no statement"]),
        ] {
            let shown = shown(sql);
            for part in expected {
                assert!(shown.contains(part), "{sql}: {shown}");
            }
        }
    }

    #[test]
    fn a_text_too_long_to_be_read_on_its_way_is_said_to_be() {
        let long = format!("SELECT '{}'", "x".repeat(QUERY_INSPECTED_BYTES_MAX));
        assert!(shown(&long).contains("above 64 KiB is not read"));
        assert!(!shown("SELECT 1").contains("KiB"));
    }
}

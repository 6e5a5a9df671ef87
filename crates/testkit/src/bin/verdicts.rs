//! What the classifier says of texts, for `conformance/classify.py`, which holds it against PostgreSQL's own parser.
//!
//! Standard input has texts, each behind a line `<1 or 0> <bytes>`: whether standard_conforming_strings is on, and how long the
//! text is. Standard output gets a line of JSON for each text: an array of effects.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use forebay_postgres::sql::{Effect, SetValue, explain};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut output = BufWriter::new(std::io::stdout().lock());
    while let Some((text, conforming)) = next(&mut input)? {
        let effects: Vec<Value> = explain(&text, conforming, 200)
            .iter()
            .map(|statement| as_json(&statement.effect))
            .collect();
        writeln!(output, "{}", Value::from(effects))?;
    }
    output.flush()
}

fn next(input: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let bad = || std::io::Error::other("expected `<1 or 0> <bytes>`");
    let (conforming, bytes) = line.trim_end().split_once(' ').ok_or_else(bad)?;
    let bytes: u64 = bytes.parse().map_err(|_| bad())?;
    let mut text = Vec::new();
    input.by_ref().take(bytes).read_to_end(&mut text)?;
    Ok(Some((text, conforming == "1")))
}

fn as_json(effect: &Effect) -> Value {
    match effect {
        Effect::Commit { chain } => json!({"effect": "Commit", "chain": chain}),
        Effect::Rollback { chain } => json!({"effect": "Rollback", "chain": chain}),
        Effect::Savepoint(name) => json!({"effect": "Savepoint", "name": name}),
        Effect::RollbackTo(name) => json!({"effect": "RollbackTo", "name": name}),
        Effect::Release(name) => json!({"effect": "Release", "name": name}),
        Effect::Deallocate(name) => json!({"effect": "Deallocate", "name": name}),
        Effect::Listen(name) => json!({"effect": "Listen", "name": name}),
        Effect::Unlisten(name) => json!({"effect": "Unlisten", "name": name}),
        Effect::Reset(name) => json!({"effect": "Reset", "name": name}),
        Effect::Set { name, value } => {
            json!({"effect": "Set", "session": [setting(name, Some(value))]})
        }
        Effect::SetMany(settings) => {
            let settings = settings
                .iter()
                .map(|(name, value)| setting(name, Some(value)));
            json!({"effect": "Set", "session": settings.collect::<Vec<_>>()})
        }
        Effect::SetLocally { local, session } => {
            let local = local
                .iter()
                .map(|(name, value)| setting(name, value.as_ref()));
            let session = session
                .iter()
                .map(|(name, value)| setting(name, Some(value)));
            json!({"effect": "SetLocally", "local": local.collect::<Vec<_>>(), "session": session.collect::<Vec<_>>()})
        }
        Effect::Prepare(prepares) => {
            json!({"effect": "Prepare", "name": prepares.name, "body": as_json(&prepares.body)})
        }
        Effect::Execute(executes) => {
            let own = as_json(&executes.own);
            json!({"effect": "Execute", "name": executes.name, "own": own, "runs": executes.runs})
        }
        Effect::Pin(reason) => json!({"effect": "Pin", "reasons": [reason.as_str()]}),
        Effect::PinMany(reasons) => {
            let reasons: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
            json!({"effect": "Pin", "reasons": reasons})
        }
        // What is left has nothing but its name.
        plain => json!({"effect": format!("{plain:?}")}),
    }
}

/// `[name, kind of value, value]`.
fn setting(name: &str, value: Option<&SetValue>) -> Value {
    match value {
        Some(SetValue::Sql(sql)) => json!([name, "sql", sql]),
        Some(SetValue::Literal(text)) => json!([name, "literal", text]),
        Some(SetValue::Default) => json!([name, "default", null]),
        None => json!([name, "unknown", null]),
    }
}

//! Reads `SET`, `RESET` and the `SELECT set_config(…)` that could have been a `SET`: which setting, which value, and how to
//! say the same to another backend. What it does not understand pins (`PinReason::UntrackedSetting`): the server may
//! understand it.
//!
//! Replayed text must be read alike under any settings, or a client could smuggle SQL into another session: values are
//! rebuilt from their tokens, and text constants with backslashes or in several parts are written anew.

use forebay_core::PinReason;

use super::lexer::{Kind, Lexer};
use super::quote::{quote_identifier, quote_literal};
use super::reader::Reader;
use super::words::{self, keys};
use super::{Effect, SetValue};

const NOT_UNDERSTOOD: Effect = Effect::Pin(PinReason::UntrackedSetting);

/// `SET …`, after the word `SET`.
pub(super) fn set(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    let prefix = if continues_name(&reader) {
        0
    } else {
        reader.word()
    };
    let local = prefix == keys::LOCAL;
    if local || prefix == keys::SESSION {
        let second = reader.second_word();
        // SESSION may also begin the name of what is set.
        if local || ![keys::AUTHORIZATION, keys::CHARACTERISTICS].contains(&second) {
            reader.advance();
        }
    }
    let effect = assignment(&mut reader);
    let complete = reader.at_end();
    reader.skip_statement();
    match effect {
        // Moves the generator for good, even so.
        Some(Effect::Pin(PinReason::Seed)) => Effect::Pin(PinReason::Seed),
        effect if local => until_the_end(effect.filter(|_| complete)),
        Some(effect) if complete => effect,
        _ => NOT_UNDERSTOOD,
    }
}

/// What `SET LOCAL` does, by what `SET` would do.
fn until_the_end(effect: Option<Effect>) -> Effect {
    let local = match effect {
        Some(Effect::Set { name, value }) => vec![(name, Some(value))],
        Some(Effect::SetMany(values)) => values
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect(),
        Some(Effect::Reset(name)) => vec![(name, Some(SetValue::Default))],
        Some(Effect::SetLocal) => return Effect::SetLocal,
        _ => vec![(String::new(), None)],
    };
    let session = Vec::new();
    Effect::SetLocally { local, session }
}

/// `RESET …`, after the word `RESET`.
pub(super) fn reset(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    let effect = reset_target(&mut reader);
    let complete = reader.at_end();
    reader.skip_statement();
    effect.filter(|_| complete).unwrap_or(NOT_UNDERSTOOD)
}

fn reset_target(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    if reader.second().ends_statement() && reader.takes(keys::ALL) {
        return Some(Effect::ResetAll);
    }
    if takes_pair(reader, keys::TIME, keys::ZONE) {
        return Some(reset_of("timezone".to_owned()));
    }
    if takes_pair(reader, keys::SESSION, keys::AUTHORIZATION) {
        return Some(reset_of("session_authorization".to_owned()));
    }
    if takes_pair(reader, keys::TRANSACTION, keys::ISOLATION) {
        return reader.takes(keys::LEVEL).then_some(Effect::SetLocal);
    }
    setting_name(reader).map(reset_of)
}

/// Whether what comes after the next token makes that token (the beginning of) the name of a setting.
fn continues_name(reader: &Reader<'_, '_>) -> bool {
    let mut ahead = reader.ahead();
    let second = ahead.next();
    second.kind == Kind::Dot
        || ahead.bytes(second) == b"="
        || [keys::TO, keys::FROM].contains(&ahead.key(second))
}

/// Whether these two words come next; they are then behind us.
fn takes_pair(reader: &mut Reader<'_, '_>, first: u128, second: u128) -> bool {
    let taken = reader.word() == first && reader.second_word() == second;
    if taken {
        reader.advance();
        reader.advance();
    }
    taken
}

/// What follows `SET [SESSION | LOCAL]`.
fn assignment(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    if continues_name(reader) {
        return any_setting(reader);
    }
    match reader.word() {
        keys::TIME if takes_pair(reader, keys::TIME, keys::ZONE) => time_zone(reader),
        keys::NAMES => names(reader),
        keys::ROLE => {
            reader.advance();
            one_value(reader).map(|value| set_of("role".to_owned(), value))
        }
        keys::SESSION if takes_pair(reader, keys::SESSION, keys::AUTHORIZATION) => {
            session_authorization(reader)
        }
        keys::SESSION if takes_pair(reader, keys::SESSION, keys::CHARACTERISTICS) => {
            characteristics(reader)
        }
        keys::SCHEMA => {
            reader.advance();
            text_value(reader).map(|value| set_of("search_path".to_owned(), value))
        }
        keys::XML if takes_pair(reader, keys::XML, keys::OPTION) => {
            one_value(reader).map(|value| set_of("xmloption".to_owned(), value))
        }
        keys::TRANSACTION | keys::CONSTRAINTS => {
            while !reader.at_end() {
                reader.advance();
            }
            Some(Effect::SetLocal)
        }
        _ => None,
    }
}

/// `name {= | TO} {value [, …] | DEFAULT}`.
fn any_setting(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    let name = setting_name(reader)?;
    if reader.at_equals() {
        reader.advance();
    } else if !reader.takes(keys::TO) {
        return None;
    }
    if reader.second().ends_statement() && reader.takes(keys::DEFAULT) {
        return Some(reset_of(name));
    }
    let mut value = one_value(reader)?;
    while reader.takes_kind(Kind::Comma) {
        value.sql.push_str(", ");
        value.sql.push_str(&one_value(reader)?.sql);
        value.plain = None;
    }
    Some(set_of(name, value))
}

/// A setting's name in lower case, the parts joined by dots; only such as the server lets be set.
fn setting_name(reader: &mut Reader<'_, '_>) -> Option<String> {
    let mut name = reader.name()?;
    while reader.takes_kind(Kind::Dot) {
        name.push('.');
        name.push_str(&reader.name()?);
    }
    folded_setting_name(name)
}

fn folded_setting_name(mut name: String) -> Option<String> {
    let is_good_part = |part: &str| {
        part.starts_with(|first: char| {
            first.is_ascii_alphabetic() || first == '_' || !first.is_ascii()
        }) && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii())
    };
    name.make_ascii_lowercase();
    name.split('.').all(is_good_part).then_some(name)
}

/// A value as it is written to another backend, and what it means if it is a single name or text.
struct Value {
    sql: String,
    plain: Option<String>,
}

impl Value {
    fn of_sql(sql: &str) -> Self {
        Value {
            sql: sql.to_owned(),
            plain: None,
        }
    }
}

/// A list of values, as [`SetValue::Sql`] has it, with all names in quotes; `None` if it cannot be read.
pub fn all_quoted(list: &str) -> Option<String> {
    let mut lexer = Lexer::new(list.as_bytes(), true);
    let mut reader = Reader::new(&mut lexer);
    let mut values = Vec::new();
    loop {
        let value = one_value(&mut reader)?;
        values.push(
            value
                .plain
                .map_or(value.sql, |name| quote_identifier(&name)),
        );
        if !reader.takes_kind(Kind::Comma) {
            break;
        }
    }
    reader.at_end().then(|| values.join(", "))
}

fn one_value(reader: &mut Reader<'_, '_>) -> Option<Value> {
    match reader.token.kind {
        Kind::Word | Kind::Quoted => {
            let sql = std::str::from_utf8(reader.bytes()).ok()?.to_owned();
            let plain = reader.name()?;
            Some(Value {
                sql,
                plain: Some(plain),
            })
        }
        Kind::Number | Kind::Operator => number(reader),
        _ => text_value(reader),
    }
}

fn number(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let sign = match reader.bytes() {
        sign @ (b"-" | b"+") => {
            reader.advance();
            sign
        }
        _ => b"",
    };
    if reader.token.kind != Kind::Number {
        return None;
    }
    let digits = std::str::from_utf8(reader.bytes()).ok()?;
    let sign = std::str::from_utf8(sign).ok()?;
    reader.advance();
    Some(Value::of_sql(&format!("{sign}{digits}")))
}

fn text_value(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let plain = reader.text()?;
    Some(Value {
        sql: quote_literal(&plain),
        plain: Some(plain),
    })
}

/// `TIME ZONE {value | LOCAL | DEFAULT | INTERVAL 'hours:minutes' [HOUR TO MINUTE]}`.
fn time_zone(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    let name = "timezone".to_owned();
    if reader.takes(keys::LOCAL) || reader.takes(keys::DEFAULT) {
        return Some(reset_of(name));
    }
    let value = if reader.takes(keys::INTERVAL) {
        offset(reader)
    } else {
        one_value(reader)
    };
    value.map(|value| set_of(name, value))
}

/// An offset as an interval of hours and minutes, which has one meaning under any settings; no other interval is understood. The
/// setting itself takes it as a text (`check_timezone`).
fn offset(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let text = reader.text().filter(|text| is_hours_and_minutes(text))?;
    if reader.takes(keys::HOUR) && !(reader.takes(keys::TO) && reader.takes(keys::MINUTE)) {
        return None;
    }
    Some(Value::of_sql(&quote_literal(&format!("INTERVAL '{text}'"))))
}

/// `[+|-]h:mm` or `[+|-]hh:mm`.
fn is_hours_and_minutes(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    unsigned.split_once(':').is_some_and(|(hours, minutes)| {
        let lengths = (hours.len(), minutes.len());
        matches!(lengths, (1 | 2, 2)) && is_number(hours) && is_number(minutes)
    })
}

/// `NAMES ['encoding' | DEFAULT]`.
fn names(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    reader.advance();
    let name = "client_encoding".to_owned();
    if reader.at_end() || reader.takes(keys::DEFAULT) {
        return Some(reset_of(name));
    }
    text_value(reader).map(|value| set_of(name, value))
}

/// `SESSION AUTHORIZATION {name | DEFAULT}`.
fn session_authorization(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    let name = "session_authorization".to_owned();
    if reader.takes(keys::DEFAULT) {
        return Some(reset_of(name));
    }
    one_value(reader).map(|value| set_of(name, value))
}

/// `SESSION CHARACTERISTICS AS TRANSACTION mode [[,] …]`.
fn characteristics(reader: &mut Reader<'_, '_>) -> Option<Effect> {
    if !takes_pair(reader, keys::AS, keys::TRANSACTION) {
        return None;
    }
    let mut modes = Vec::new();
    while !reader.at_end() {
        modes.push(transaction_mode(reader)?);
        reader.takes_kind(Kind::Comma);
    }
    several(modes)
}

fn transaction_mode(reader: &mut Reader<'_, '_>) -> Option<(String, SetValue)> {
    let (name, value) = if takes_pair(reader, keys::ISOLATION, keys::LEVEL) {
        ("default_transaction_isolation", isolation_level(reader)?)
    } else if takes_pair(reader, keys::READ, keys::ONLY) {
        ("default_transaction_read_only", "on")
    } else if takes_pair(reader, keys::READ, keys::WRITE) {
        ("default_transaction_read_only", "off")
    } else if takes_pair(reader, keys::NOT, keys::DEFERRABLE) {
        ("default_transaction_deferrable", "off")
    } else if reader.takes(keys::DEFERRABLE) {
        ("default_transaction_deferrable", "on")
    } else {
        return None;
    };
    Some((name.to_owned(), SetValue::Sql(value.to_owned())))
}

fn isolation_level(reader: &mut Reader<'_, '_>) -> Option<&'static str> {
    if takes_pair(reader, keys::READ, keys::UNCOMMITTED) {
        Some("'read uncommitted'")
    } else if takes_pair(reader, keys::READ, keys::COMMITTED) {
        Some("'read committed'")
    } else if takes_pair(reader, keys::REPEATABLE, keys::READ) {
        Some("'repeatable read'")
    } else if reader.takes(keys::SERIALIZABLE) {
        Some("'serializable'")
    } else {
        None
    }
}

/// One setting or several; `None` for none.
fn several(mut settings: Vec<(String, SetValue)>) -> Option<Effect> {
    if settings.len() > 1 {
        return Some(Effect::SetMany(settings));
    }
    let (name, value) = settings.pop()?;
    if value == SetValue::Default {
        return Some(reset_of(name));
    }
    Some(Effect::Set { name, value })
}

/// These belong to the running transaction, however they are set.
fn ends_with_transaction(name: &str) -> bool {
    matches!(
        name,
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable"
    )
}

/// The random generator's seed cannot be read back, and setting it again would repeat its numbers.
fn is_seed(name: &str) -> bool {
    name == "seed"
}

fn set_of(name: String, value: Value) -> Effect {
    if is_seed(&name) {
        Effect::Pin(PinReason::Seed)
    } else if ends_with_transaction(&name) {
        Effect::SetLocal
    } else if name == "role" && value.plain.as_deref() == Some("none") {
        // Not what RESET ROLE brings back, where the startup message or ALTER ROLE set another.
        let value = SetValue::Sql("none".to_owned());
        Effect::Set { name, value }
    } else {
        Effect::Set {
            name,
            value: SetValue::Sql(value.sql),
        }
    }
}

fn reset_of(name: String) -> Effect {
    if is_seed(&name) {
        Effect::Pin(PinReason::Seed)
    } else if ends_with_transaction(&name) {
        Effect::SetLocal
    } else {
        Effect::Reset(name)
    }
}

/// What the targets of a `SELECT` set, if all of them are `set_config` (or `current_setting`) of constants and nothing
/// follows. Begins after the word `SELECT`.
pub(super) fn set_config_targets(lexer: &mut Lexer<'_>) -> Option<Effect> {
    let mut reader = Reader::new(lexer);
    let (mut session, mut local) = (Vec::new(), Vec::new());
    loop {
        match target(&mut reader)? {
            Target::Reads => {}
            Target::Sets(name, value) => session.push((name, value)),
            Target::SetsLocally(name, value) => local.push((name, value)),
        }
        alias(&mut reader)?;
        if !reader.takes_kind(Kind::Comma) {
            break;
        }
    }
    let both = session
        .iter()
        .any(|(name, _)| local.iter().any(|(known, _)| known == name));
    if !reader.at_end() || both {
        return None;
    }
    match (session.is_empty(), local.is_empty()) {
        (true, true) => Some(Effect::SetLocal),
        (false, true) => several(session),
        (_, false) => Some(Effect::SetLocally { local, session }),
    }
}

/// What one target of a `SELECT` does.
enum Target {
    /// Nothing.
    Reads,
    /// Sets for the session.
    Sets(String, SetValue),
    /// Sets for the transaction, to a value that may not be known here.
    SetsLocally(String, Option<SetValue>),
}

/// What one target does; `None` if it is not one of those understood.
fn target(reader: &mut Reader<'_, '_>) -> Option<Target> {
    if reader.takes(keys::PG_CATALOG) && !reader.takes_kind(Kind::Dot) {
        return None;
    }
    let set_config = reader.takes(keys::SET_CONFIG);
    if (!set_config && !reader.takes(keys::CURRENT_SETTING)) || !reader.takes_kind(Kind::Open) {
        return None;
    }
    let name = folded_setting_name(reader.text()?)?;
    if !set_config {
        let _ = reader.takes_kind(Kind::Comma)
            && (reader.takes(keys::TRUE) || reader.takes(keys::FALSE));
        return reader.takes_kind(Kind::Close).then_some(Target::Reads);
    }
    // The value is a constant, or a parameter whose value is not known here.
    // NULL is the default, as behind TO.
    let value = takes(reader, Kind::Comma).and_then(|()| {
        if reader.takes(keys::NULL) {
            return Some(Some(SetValue::Default));
        }
        let value = reader.text();
        (value.is_some() || reader.takes_kind(Kind::Parameter))
            .then_some(value.map(SetValue::Literal))
    })?;
    takes(reader, Kind::Comma)?;
    let local = reader.takes(keys::TRUE);
    if (!local && !reader.takes(keys::FALSE)) || !reader.takes_kind(Kind::Close) || is_seed(&name) {
        return None;
    }
    if local || ends_with_transaction(&name) {
        return Some(Target::SetsLocally(name, value));
    }
    value.map(|value| Target::Sets(name, value))
}

fn takes(reader: &mut Reader<'_, '_>, kind: Kind) -> Option<()> {
    reader.takes_kind(kind).then_some(())
}

/// `[[AS] name]`; `None` if there is an `AS` without a name.
fn alias(reader: &mut Reader<'_, '_>) -> Option<()> {
    let named = matches!(reader.token.kind, Kind::Word | Kind::Quoted);
    if reader.takes(keys::AS) {
        return reader.name().map(|_| ());
    }
    if named && !words::facts(reader.bytes()).keyword {
        reader.advance();
    }
    Some(())
}

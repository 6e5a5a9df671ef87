//! Custom settings (`app.tenant`): a server process never forgets their names. After RESET one is an empty string instead of absent, which
//! row-level security tells apart, so a session must not meet names that it has not set itself.
//! (`src/backend/utils/misc/guc.c`, `add_placeholder_variable`; ledger: custom-settings-strict.)
//!
//! A backend's names are noted when a statement is sent, a session's when it is completed: doubt makes them differ.

use crate::session::{Session, Stage};
use crate::sql::{Class, Effect};
use crate::statements;
use crate::wire::read::Fields;
use crate::wire::{self, HEADER_BYTES};
use forebay_core::settings::{Interner, Map, Settings, Value};
use forebay_core::snapshot::CustomSettings;
use std::sync::Arc;

/// Names, interned: the values mean nothing.
pub type Customs = Arc<Settings>;

/// Most names of one session that are told apart; with more it keeps its backend.
pub const CUSTOMS_MAX: usize = 1024;

/// Longest first request that is looked into.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Whether the server makes a setting of this name when it is first spoken of.
fn is_custom(name: &str) -> bool {
    name.contains('.')
}

/// The custom ones among settings.
pub fn among(settings: &Map) -> impl Iterator<Item = &str> {
    settings
        .keys()
        .map(|name| &**name)
        .filter(|name| is_custom(name))
}

/// The custom settings that a statement speaks of by names that are known. RESET makes them, too.
pub fn named_by(effect: &Effect) -> impl Iterator<Item = &str> {
    let (one, many, local) = match effect {
        Effect::Set { name, .. } | Effect::Reset(name) => (Some(name), &[][..], &[][..]),
        Effect::SetMany(session) => (None, &session[..], &[][..]),
        Effect::SetLocally { local, session } => (None, &session[..], &local[..]),
        _ => (None, &[][..], &[][..]),
    };
    let many = many.iter().map(|(name, _)| name);
    let local = local.iter().map(|(name, _)| name);
    one.into_iter()
        .chain(many)
        .chain(local)
        .map(String::as_str)
        .filter(|name| is_custom(name))
}

/// Adds names to those that are known, up to one more than [`CUSTOMS_MAX`]: of a session with so many, nothing depends on the others, as it
/// keeps its backend.
pub fn add<'n>(
    customs: &mut Customs,
    names: impl Iterator<Item = &'n str>,
    interner: &mut Interner,
) {
    let mut more: Option<Map> = None;
    for name in names {
        if customs.map().len() <= CUSTOMS_MAX && !customs.map().contains_key(name) {
            let more = more.get_or_insert_with(|| customs.map().clone());
            if more.len() <= CUSTOMS_MAX {
                more.insert(name.into(), Value::Literal("".into()));
            }
        }
    }
    if let Some(more) = more {
        *customs = interner.intern(more);
    }
}

/// The custom settings that a session has made and that a backend does not know, those aside that the session has a value of. Names that
/// are not ASCII are left out: they would need an encoding.
pub fn lacking<'s>(session: &'s Session, known: &Customs) -> Vec<&'s str> {
    let own = &session.customs;
    if own.map().is_empty() || Arc::ptr_eq(own, known) {
        return Vec::new();
    }
    let values = session.tracker.committed().map();
    own.map()
        .keys()
        .map(|name| &**name)
        .filter(|name| {
            !known.map().contains_key(*name) && !values.contains_key(*name) && name.is_ascii()
        })
        .collect()
}

/// Whether a session that has asked for what `input` begins with may have a backend that knows these names.
pub fn suit(session: &Session, known: &Customs, input: &[u8]) -> bool {
    let own = session.customs.map();
    if Arc::ptr_eq(known, &session.customs) || known.map().is_empty() {
        return true;
    }
    if session.rules.custom_settings == CustomSettings::Shared
        || !matches!(session.stage, Stage::Ready)
    {
        return true;
    }
    let mut missing = known.map().keys().filter(|name| !own.contains_key(*name));
    let Some(first) = missing.next() else {
        return true;
    };
    let begun = begun_with(input);
    begun.contains(first) && missing.all(|name| begun.contains(name))
}

/// The custom settings that a request sets before it can read any.
fn begun_with(input: &[u8]) -> Vec<Box<str>> {
    let Class::Statements(effects) = first_statement(input) else {
        return Vec::new();
    };
    let sets = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Begin
                | Effect::SetLocal
                | Effect::Set { .. }
                | Effect::SetMany(_)
                | Effect::SetLocally { .. }
                | Effect::Reset(_)
        )
    };
    let before = effects.iter().take_while(sets);
    before.flat_map(named_by).map(Box::from).collect()
}

/// What a first Query does, or a first Parse that is executed right away.
fn first_statement(input: &[u8]) -> Class {
    let Some((kind, body, rest)) = first_message(input) else {
        return Class::Pure;
    };
    let mut fields = Fields(body);
    let text = match kind {
        b'Q' => fields.string(),
        b'P' if is_executed(rest) => fields.string().and_then(|_name| fields.string()),
        _ => return Class::Pure,
    };
    text.map_or(Class::Pure, |text| statements::judge(text, None))
}

/// Whether an Execute comes before anything but Bind and Describe.
fn is_executed(mut input: &[u8]) -> bool {
    loop {
        match first_message(input) {
            Some((b'E', ..)) => return true,
            Some((b'B' | b'D', _, rest)) => input = rest,
            _ => return false,
        }
    }
}

/// Kind and body of the first message, if it is whole and short, and what is behind it.
fn first_message(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let header = wire::header(input).ok()??;
    let len = header.len.max(HEADER_BYTES);
    let whole = len <= input.len().min(REQUEST_BYTES_MAX);
    whole.then(|| (header.kind, &input[HEADER_BYTES..len], &input[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write;

    fn begun(sql: &str) -> Vec<Box<str>> {
        let mut input = Vec::new();
        write::query(&mut input, sql.as_bytes());
        begun_with(&input)
    }

    #[test]
    fn a_request_sets_what_it_sets_before_anything_else() {
        assert_eq!(begun("set app.tenant = '1'"), ["app.tenant".into()]);
        let sql = "begin; set local app.a to 1; set app.b = 2; select 1; set app.c = 3";
        assert_eq!(begun(sql), ["app.a".into(), "app.b".into()]);
        assert_eq!(
            begun("select set_config('app.x', '1', true)"),
            ["app.x".into()]
        );
        for sql in [
            "select 1; set app.a = 1",
            "set work_mem = '1MB'",
            "select current_setting('app.a', true)",
        ] {
            assert!(begun(sql).is_empty(), "{sql}");
        }
    }

    #[test]
    fn what_is_prepared_is_set_only_when_it_is_executed() {
        let mut input = Vec::new();
        write::parse(&mut input, b"", b"set app.tenant = '1'", &[0; 2]);
        assert!(begun_with(&input).is_empty());
        let parsed = input.len();
        input.extend_from_slice(write::SYNC);
        assert!(begun_with(&input).is_empty());
        input.truncate(parsed);
        write::message(&mut input, b'B', |out| out.extend_from_slice(&[0; 8]));
        write::message(&mut input, b'E', |out| out.extend_from_slice(&[0; 5]));
        assert_eq!(begun_with(&input), ["app.tenant".into()]);
    }

    #[test]
    fn half_a_request_sets_nothing_yet() {
        let mut input = Vec::new();
        write::query(&mut input, b"set app.tenant = '1'");
        for len in 0..input.len() {
            assert!(begun_with(&input[..len]).is_empty());
        }
        assert!(!begun_with(&input).is_empty());
    }

    #[test]
    fn no_more_names_are_added_than_a_session_may_have_before_it_keeps_its_backend() {
        let mut interner = Interner::new(std::hash::RandomState::new());
        let mut customs = interner.empty();
        for turn in 0..3 {
            let names: Vec<_> = (0..CUSTOMS_MAX).map(|n| format!("a.b{turn}_{n}")).collect();
            add(
                &mut customs,
                names.iter().map(String::as_str),
                &mut interner,
            );
        }
        assert_eq!(customs.map().len(), CUSTOMS_MAX + 1);
    }

    #[test]
    fn names_are_added_once_and_equal_sets_are_one_value() {
        let mut interner = Interner::new(std::hash::RandomState::new());
        let (mut one, mut other) = (interner.empty(), interner.empty());
        add(&mut one, ["a.b", "a.c"].into_iter(), &mut interner);
        add(&mut other, ["a.c", "a.b"].into_iter(), &mut interner);
        assert!(Arc::ptr_eq(&one, &other));
        let before = Arc::clone(&one);
        add(&mut one, ["a.b"].into_iter(), &mut interner);
        assert!(Arc::ptr_eq(&one, &before));
    }
}

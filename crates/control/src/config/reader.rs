//! Reads typed values out of TOML tables; whatever is wrong goes to the [`Report`] with key, line, value and fix.
//!
//! Not through serde: it stops at the first wrong type, and tells neither the key's path nor which keys would be right. Here each
//! reader returns a usable value in any case and reading goes on, so that one run shows every error of the file.

use super::report::{Place, Report};
use super::values;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Longest piece of a value that an error repeats.
const VALUE_SHOWN_CHARS_MAX: usize = 60;

/// One table of the file, with its place in it.
pub(crate) struct Table<'r> {
    pub(crate) report: &'r Report,
    pub(crate) place: Place,
    text: &'r str,
    entries: &'r DeTable<'r>,
}

/// One value of a table, with its place.
pub(crate) struct Field<'r> {
    pub(crate) place: Place,
    value: &'r DeValue<'r>,
}

impl<'r> Table<'r> {
    /// The whole document.
    pub(crate) fn root(report: &'r Report, text: &'r str, entries: &'r DeTable<'r>) -> Table<'r> {
        let place = Place {
            key: String::new(),
            line: None,
        };
        Table {
            report,
            place,
            text,
            entries,
        }
    }

    /// Refuses every key that is not among `known`.
    pub(crate) fn allow(&self, known: &[&str]) {
        for key in self.entries.keys() {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let place = Place {
                key: self.key(key.get_ref()),
                line: Some(line_of(self.text, key.span().start)),
            };
            self.report.error(&place, None, unknown_key(known));
        }
    }

    fn key(&self, name: &str) -> String {
        if self.place.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place.key)
        }
    }

    /// The value of a key, if it is there.
    pub(crate) fn field(&self, name: &str) -> Option<Field<'r>> {
        let value = self.entries.get(name)?;
        Some(Field {
            place: Place {
                key: self.key(name),
                line: Some(line_of(self.text, value.span().start)),
            },
            value: value.get_ref(),
        })
    }

    /// Notes that a key is missing.
    pub(crate) fn missing(&self, name: &str, fix: &str) {
        let place = Place {
            key: self.key(name),
            line: self.place.line,
        };
        self.report.error(&place, None, format!("missing: {fix}"));
    }

    /// Notes that the value of `field` is wrong.
    pub(crate) fn wrong(&self, field: &Field<'_>, fix: impl Into<String>) {
        self.report.error(&field.place, field.shown(), fix);
    }

    /// A string, with its field.
    pub(crate) fn text(&self, name: &str) -> Option<(&'r str, Field<'r>)> {
        let field = self.field(name)?;
        match field.value {
            DeValue::String(text) => Some((text.as_ref(), field)),
            _ => {
                self.wrong(&field, "must be a string");
                None
            }
        }
    }

    /// A string that must be there; `fix` says what to write.
    pub(crate) fn text_required(&self, name: &str, fix: &str) -> Option<(&'r str, Field<'r>)> {
        if self.entries.get(name).is_none() {
            self.missing(name, fix);
        }
        self.text(name)
    }

    /// A resource name, by RDS's rules.
    pub(crate) fn name_required(&self, name: &str, fix: &str) -> Option<String> {
        let (text, field) = self.text_required(name, fix)?;
        if values::is_name(text) {
            return Some(text.to_owned());
        }
        self.wrong(&field, values::NAME_RULE);
        None
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, name: &str, default: bool) -> bool {
        let Some(field) = self.field(name) else {
            return default;
        };
        match field.value {
            DeValue::Boolean(value) => *value,
            _ => {
                self.wrong(&field, "must be true or false");
                default
            }
        }
    }

    /// A whole number in `range`.
    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let fix = format!("must be {} to {}", range.start(), range.end());
        self.integer_or(name, range, &fix).unwrap_or(default)
    }

    /// A whole number in `range`, with a `fix` of the caller's own; `None` if it is absent or wrong.
    pub(crate) fn integer_or(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
        fix: &str,
    ) -> Option<u64> {
        let field = self.field(name)?;
        match field.integer() {
            Some(value) if range.contains(&value) => Some(value),
            _ => {
                self.wrong(&field, fix);
                None
            }
        }
    }

    /// A bound of 1 to `max`, where 0 and absence mean none (`u32::MAX`).
    pub(crate) fn bound(&self, name: &str, max: u32) -> u32 {
        let fix = format!("must be 1 to {max}, or 0 for no limit");
        match self.integer_or(name, 0..=u64::from(max), &fix) {
            None | Some(0) => u32::MAX,
            Some(value) => u32::try_from(value).unwrap_or(max),
        }
    }

    /// A duration in `range`: whole seconds, or a string with a unit.
    pub(crate) fn duration(
        &self,
        name: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(field) = self.field(name) else {
            return default;
        };
        let value = match field.value {
            DeValue::String(text) => values::duration(text),
            _ => field.integer().map(Duration::from_secs),
        };
        match value {
            Some(value) if range.contains(&value) => value,
            _ => {
                self.wrong(&field, values::duration_rule(&range));
                default
            }
        }
    }

    /// One word out of `words`.
    pub(crate) fn choice<T: Copy>(&self, name: &str, words: &[(&str, T)], default: T) -> T {
        let Some(field) = self.field(name) else {
            return default;
        };
        let DeValue::String(text) = field.value else {
            self.wrong(&field, one_of(words));
            return default;
        };
        match words.iter().find(|(word, _)| word == text) {
            Some((_, value)) => *value,
            None => {
                self.wrong(&field, one_of(words));
                default
            }
        }
    }

    /// An address and port.
    pub(crate) fn address(&self, name: &str, fix: &str) -> Option<SocketAddr> {
        let (text, field) = self.text_required(name, fix)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.wrong(&field, format!("must be {}", values::ADDRESS_RULE));
                None
            }
        }
    }

    /// A table inside this one.
    pub(crate) fn table(&self, name: &str) -> Option<Table<'r>> {
        let field = self.field(name)?;
        match field.value {
            DeValue::Table(entries) => Some(self.inner(field.place, entries)),
            _ => {
                self.wrong(&field, "must be a table");
                None
            }
        }
    }

    /// An array of tables; empty when it is absent.
    pub(crate) fn tables(&self, name: &str) -> Vec<Table<'r>> {
        let mut tables = Vec::new();
        for field in self.array(name, "must be an array of tables") {
            match field.value {
                DeValue::Table(entries) => tables.push(self.inner(field.place, entries)),
                _ => self.wrong(&field, "must be a table"),
            }
        }
        tables
    }

    /// An array of tables with at least one in it; `fix` says which.
    pub(crate) fn tables_required(&self, name: &str, fix: &str) -> Vec<Table<'r>> {
        let is_empty =
            |field: Field<'_>| matches!(field.value, DeValue::Array(items) if items.is_empty());
        if self.field(name).is_none_or(is_empty) {
            self.missing(name, fix);
        }
        self.tables(name)
    }

    /// An array of strings, each with its field; empty when it is absent.
    pub(crate) fn texts(&self, name: &str) -> Vec<(&'r str, Field<'r>)> {
        let mut texts = Vec::new();
        for field in self.array(name, "must be an array of strings") {
            match field.value {
                DeValue::String(text) => texts.push((text.as_ref(), field)),
                _ => self.wrong(&field, "must be a string"),
            }
        }
        texts
    }

    fn array(&self, name: &str, fix: &str) -> Vec<Field<'r>> {
        let Some(field) = self.field(name) else {
            return Vec::new();
        };
        let DeValue::Array(items) = field.value else {
            self.wrong(&field, fix);
            return Vec::new();
        };
        let item = |(index, item): (usize, &'r toml::Spanned<DeValue<'r>>)| Field {
            place: Place {
                key: format!("{}[{index}]", field.place.key),
                line: Some(line_of(self.text, item.span().start)),
            },
            value: item.get_ref(),
        };
        items.iter().enumerate().map(item).collect()
    }

    fn inner(&self, place: Place, entries: &'r DeTable<'r>) -> Table<'r> {
        Table {
            report: self.report,
            place,
            text: self.text,
            entries,
        }
    }
}

impl Field<'_> {
    fn integer(&self) -> Option<u64> {
        match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// The value as an error may repeat it: shortened, and not at all where the key may hold a secret.
    fn shown(&self) -> Option<String> {
        if values::is_sensitive(&self.place.key) {
            return None;
        }
        match self.value {
            DeValue::String(text) => Some(format!("{:?}", shortened(text))),
            DeValue::Integer(number) => Some(shortened(&number.to_string())),
            DeValue::Float(number) => Some(shortened(number.as_str())),
            DeValue::Boolean(value) => Some(value.to_string()),
            DeValue::Datetime(value) => Some(value.to_string()),
            DeValue::Array(_) | DeValue::Table(_) => None,
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(VALUE_SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn unknown_key(known: &[&str]) -> String {
    format!("no such key; known here: {}", known.join(", "))
}

/// "must be a, b or c".
fn one_of<T>(words: &[(&str, T)]) -> String {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    match words.as_slice() {
        [only] => format!("must be {only:?}"),
        [first @ .., last] => format!("must be {} or {last}", first.join(", ")),
        [] => "must be absent".to_owned(),
    }
}

/// The line, from 1, of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

//! Settings whose values are lists of names: SET puts the value together anew, and what comes of it depends on another setting.
//!
//! While `quote_all_identifiers` is on, every name in such a value is put into quotes, for good (`flatten_set_variable_args`,
//! `quote_identifier`). A list that was set then is kept as the server made it. Every other one is written as its client wrote it, where
//! `quote_all_identifiers` is as the database has it (`difference.rs`). What SET LOCAL does to that is not followed.

use super::Tracker;
use crate::sql;
use forebay_core::settings::{Map, Value};

/// What decides how lists are put together.
pub(super) const QUOTE_ALL: &str = "quote_all_identifiers";

/// Settings whose values SET puts together of names that it quotes (`GUC_LIST_QUOTE`; extensions have none). No other needs the
/// query that sets them, which would be the first of its transaction.
const LISTS_OF_NAMES: &[&str] = &[
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "temp_tablespaces",
];

/// Whether a setting's value is a list of names.
pub(super) fn is_list_of_names(name: &str) -> bool {
    LISTS_OF_NAMES.contains(&name)
}

/// Whether a list is to be set that SET puts together.
pub(super) fn makes_list(from: &Map, to: &Map) -> bool {
    LISTS_OF_NAMES.iter().any(|name| {
        let value = to.get(*name);
        matches!(value, Some(Value::Sql(_))) && value != from.get(*name)
    })
}

impl Tracker {
    /// The value that a setting has behind a SET with this text.
    pub(super) fn value_of(&self, name: &str, text: &str) -> Value {
        let quoted = (is_list_of_names(name) && self.quotes_all()).then(|| sql::all_quoted(text));
        match quoted.flatten() {
            Some(quoted) => Value::Literal(quoted.into()),
            None => Value::Sql(text.into()),
        }
    }

    fn quotes_all(&self) -> bool {
        let value = match self.current(QUOTE_ALL) {
            Some(Value::Sql(text)) => text.trim_matches('\'').to_ascii_lowercase(),
            Some(Value::Literal(text)) => text.to_ascii_lowercase(),
            None => return false,
        };
        // As `parse_bool` has it: beginnings will do.
        let begins = |word: &str| !value.is_empty() && word.starts_with(&value);
        value == "1" || value == "on" || begins("true") || begins("yes")
    }
}

//! What a new pooled backend is asked before it serves: how many connections the database takes, and how its sessions begin.

use crate::backend::Beginning;
use crate::wire::DecodeError;
use crate::wire::row::text_row;

/// What is said first to servers that report changes at all: to report all of them.
pub(super) const TRACKING: &[u8] = b"SET @@session.session_track_state_change=1";

/// The question.
pub(super) const QUERY: &[u8] = b"SELECT @@max_connections, @@max_user_connections, \
    @@character_set_client, @@collation_connection, @@character_set_results, @@sql_mode";

const COLUMNS: usize = 6;

/// Connections that the database takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections that this user may open; at least 1, since we have one.
    pub(super) connections_usable: u32,
    /// `max_connections`.
    pub(super) connections_max: u32,
}

/// The answer.
#[derive(Debug, Default)]
pub(super) struct SetupRow(Option<(Limits, Beginning)>);

impl SetupRow {
    /// Reads the row that answers.
    pub(super) fn read(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let columns: [Option<&[u8]>; COLUMNS] = text_row(payload)?;
        let text = |at: usize| {
            let bytes = columns[at].unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned().into_boxed_str()
        };
        let number = |at: usize| text(at).parse::<u32>().map_err(|_| DecodeError::Unexpected);
        let max = number(0)?.max(1);
        let user_max = match number(1)? {
            0 => max,
            user_max => user_max,
        };
        let limits = Limits {
            connections_usable: max.min(user_max),
            connections_max: max,
        };
        let beginning = Beginning {
            client: text(2),
            connection: text(3),
            results: columns[4].map(|_| text(4)),
            sql_mode: Some(text(5)),
        };
        self.0 = Some((limits, beginning));
        Ok(())
    }

    /// What it said.
    pub(super) fn finish(self) -> Result<(Limits, Beginning), &'static str> {
        self.0.ok_or("no answer to a question about limits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: [Option<&str>; COLUMNS]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in values {
            crate::wire::write::counted_or_null(&mut out, value.map(str::as_bytes));
        }
        out
    }

    #[test]
    fn a_users_own_limit_counts_where_it_is_lower() {
        for (max, user, usable) in [("151", "0", 151), ("151", "20", 20), ("5", "20", 5)] {
            let mut setup = SetupRow::default();
            let values = [
                Some(max),
                Some(user),
                Some("latin1"),
                Some("latin1_bin"),
                None,
                Some("ANSI"),
            ];
            setup.read(&row(values)).expect("a row");
            let (limits, beginning) = setup.finish().expect("an answer");
            assert_eq!(limits.connections_usable, usable);
            assert_eq!(&*beginning.connection, "latin1_bin");
            assert_eq!(beginning.results, None);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let mut setup = SetupRow::default();
        let values = [Some("many"), Some("0"), None, None, None, None];
        assert!(setup.read(&row(values)).is_err());
        assert!(SetupRow::default().finish().is_err());
    }
}

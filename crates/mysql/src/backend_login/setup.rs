//! What a new pooled backend is asked before it serves: how many connections the database takes, and how its sessions begin.

use crate::backend::Beginning;
use crate::server::Server;
use crate::sql::{Charset, Family, Modes, quote_identifier};
use crate::wire::DecodeError;
use crate::wire::row::text_row;
use forebay_core::settings::Value;

/// What is said first to servers that report changes at all: to report all of them.
pub(super) const TRACKING: &[u8] = b"SET @@session.session_track_state_change=1";

/// The question to such a server.
pub(super) fn query(server: Server) -> String {
    // MySQL knows roles from version 8 on.
    let role = match server.family == Family::MySql && server.version < 80_000 {
        true => "NULL",
        false => "CURRENT_ROLE()",
    };
    format!("{QUERY}, {role}")
}

const QUERY: &str = "SELECT @@max_connections, @@max_user_connections, \
    @@character_set_client, @@collation_connection, @@character_set_results, @@sql_mode, \
    @@global.character_set_client, @@global.collation_connection, @@global.character_set_results, @@global.sql_mode";

const COLUMNS: usize = 11;

/// The variables of those that have values of the session's and of the server's, in the order of the question, and where their values
/// stand.
const BOTH: [(&str, usize, usize); 4] = [
    ("character_set_client", 2, 6),
    ("collation_connection", 3, 7),
    ("character_set_results", 4, 8),
    ("sql_mode", 5, 9),
];

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
        let differing = BOTH
            .iter()
            .filter(|(_, own, global)| columns[*own] != columns[*global]);
        let globals = differing.map(|(name, _, global)| {
            let value = match columns[*global] {
                Some(_) => format!("'{}'", text(*global)),
                None => "NULL".to_owned(),
            };
            ((*name).into(), Value::Sql(value.into()))
        });
        let beginning = Beginning {
            client: text(2),
            connection: text(3),
            results: columns[4].map(|_| text(4)),
            sql_mode: text(5),
            role: match columns[10] {
                None | Some(b"NONE") => "NONE".into(),
                // MySQL writes them as SQL does, with their hosts.
                Some(roles) if roles.starts_with(b"`") => text(10),
                Some(_) => quote_identifier(&text(10)).into(),
            },
            globals: globals.collect(),
            modes: Modes::of_sql_mode(&text(5)),
            charset: Charset::of_name(&text(2)),
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
    fn a_users_own_limit_counts_where_it_is_lower_and_what_differs_from_the_server_is_kept() {
        for (max, user, usable) in [("151", "0", 151), ("151", "20", 20), ("5", "20", 5)] {
            let mut setup = SetupRow::default();
            let values = [
                Some(max),
                Some(user),
                Some("latin1"),
                Some("latin1_bin"),
                None,
                Some("ANSI"),
                Some("utf8mb4"),
                Some("latin1_bin"),
                Some("utf8mb4"),
                Some(""),
                Some("clerk"),
            ];
            setup.read(&row(values)).expect("a row");
            let (limits, beginning) = setup.finish().expect("an answer");
            assert_eq!(limits.connections_usable, usable);
            assert_eq!(&*beginning.connection, "latin1_bin");
            assert_eq!(beginning.results, None);
            assert!(beginning.modes.ansi_quotes);
            assert_eq!(&*beginning.role, "`clerk`");
            let globals = beginning.globals.iter();
            let globals: Vec<_> = globals
                .map(|(name, value)| (&**name, value.clone()))
                .collect();
            let sql = |text: &str| Value::Sql(text.into());
            let differing = [
                ("character_set_client", sql("'utf8mb4'")),
                ("character_set_results", sql("'utf8mb4'")),
                ("sql_mode", sql("''")),
            ];
            assert_eq!(globals, differing);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let mut setup = SetupRow::default();
        let mut values = [None; COLUMNS];
        values[..2].copy_from_slice(&[Some("many"), Some("0")]);
        assert!(setup.read(&row(values)).is_err());
        assert!(SetupRow::default().finish().is_err());
    }
}

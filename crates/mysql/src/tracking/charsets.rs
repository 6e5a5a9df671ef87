//! The character sets of a session: what a client's texts are in, what they are compared by, what it is answered in.
//!
//! They are set together wherever that is possible: `SET NAMES set COLLATE collation` also gives results their collation, which no variable
//! does.

use super::text_of;
use crate::backend::Beginning;
use forebay_core::settings::Map;

/// The variables that are meant.
pub(super) const NAMES: [&str; 4] = [
    "character_set_client",
    "character_set_connection",
    "collation_connection",
    "character_set_results",
];

/// Character sets as SQL writes them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charsets<'a> {
    client: &'a str,
    connection: Connection<'a>,
    results: &'a str,
    /// The session has set what results are in: together with the rest, or alone.
    has_results: bool,
    has_client: bool,
    /// What the connection began with, where that is of one character set.
    begun: Option<(&'a str, &'a str)>,
}

/// A character set with its usual collation, or a collation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection<'a> {
    Charset(&'a str),
    Collation(&'a str),
}

impl<'a> Charsets<'a> {
    /// Those of a session that has set these, on a connection that began so.
    pub(super) fn of(map: &'a Map, beginning: &'a Beginning) -> Charsets<'a> {
        let [client, charset, collation, results] =
            NAMES.map(|name| map.get(name).map(|value| text_of(value).trim_matches('\'')));
        let (begun_client, begun_collation) = (&*beginning.client, &*beginning.connection);
        let is_one = beginning.results.as_deref() == Some(begun_client)
            && is_of(begun_collation, begun_client);
        Charsets {
            client: client.unwrap_or(begun_client),
            connection: match (charset, collation) {
                (_, Some(collation)) => Connection::Collation(collation),
                (Some(charset), None) => Connection::Charset(charset),
                (None, None) => Connection::Collation(begun_collation),
            },
            results: results.unwrap_or(beginning.results.as_deref().unwrap_or("NULL")),
            has_results: results.is_some(),
            has_client: client.is_some(),
            begun: is_one.then_some((begun_client, begun_collation)),
        }
    }

    /// What to write behind `SET` for them.
    pub(super) fn parts(&self) -> Vec<String> {
        let client = format!("character_set_client={}", self.client);
        let connection = match self.connection {
            Connection::Charset(charset) => format!("character_set_connection={charset}"),
            Connection::Collation(collation) => format!("collation_connection={collation}"),
        };
        if self.has_results && self.has_client && self.client == self.results {
            match self.connection {
                Connection::Charset(charset) if charset == self.client => {
                    return vec![format!("NAMES {charset}")];
                }
                Connection::Collation(collation) if is_of(collation, self.client) => {
                    return vec![format!("NAMES {} COLLATE {collation}", self.client)];
                }
                _ => {}
            }
        }
        match self.begun.filter(|_| !self.has_results) {
            Some((begun, collation)) => {
                let mut parts = vec![format!("NAMES {begun} COLLATE {collation}")];
                parts.extend((self.client != begun).then_some(client));
                let is_other = self.connection != Connection::Collation(collation);
                parts.extend(is_other.then_some(connection));
                parts
            }
            None => vec![
                client,
                connection,
                format!("character_set_results={}", self.results),
            ],
        }
    }
}

/// Whether a collation is one of a character set's, by its name. Some of MariaDB's are for any.
fn is_of(collation: &str, charset: &str) -> bool {
    collation == charset
        || collation
            .strip_prefix(charset)
            .is_some_and(|rest| rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::settings::Value;

    fn parts(pairs: &[(&str, &str)]) -> Vec<String> {
        let pairs = pairs.iter();
        let map = pairs
            .map(|(name, value)| ((*name).into(), Value::Sql((*value).into())))
            .collect();
        let beginning = Beginning {
            client: "utf8mb4".into(),
            connection: "utf8mb4_bin".into(),
            results: Some("utf8mb4".into()),
            ..Beginning::default()
        };
        Charsets::of(&map, &beginning).parts()
    }

    #[test]
    fn what_belongs_together_is_set_together() {
        assert_eq!(parts(&[]), ["NAMES utf8mb4 COLLATE utf8mb4_bin"]);
        let names = [
            ("character_set_client", "'latin1'"),
            ("character_set_connection", "'latin1'"),
            ("character_set_results", "'latin1'"),
        ];
        assert_eq!(parts(&names), ["NAMES latin1"]);
    }

    #[test]
    fn what_results_are_in_stays_what_the_connection_began_with() {
        let names = "NAMES utf8mb4 COLLATE utf8mb4_bin";
        assert_eq!(
            parts(&[("character_set_connection", "utf8mb4")]),
            [names, "character_set_connection=utf8mb4"]
        );
        assert_eq!(
            parts(&[("character_set_client", "latin1")]),
            [names, "character_set_client=latin1"]
        );
    }

    #[test]
    fn what_does_not_is_set_one_by_one() {
        assert_eq!(
            parts(&[("character_set_results", "NULL")]),
            [
                "character_set_client=utf8mb4",
                "collation_connection=utf8mb4_bin",
                "character_set_results=NULL"
            ]
        );
        assert_eq!(
            parts(&[("collation_connection", "latin1_bin")])[1],
            "collation_connection=latin1_bin"
        );
    }
}

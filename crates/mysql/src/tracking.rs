//! What a session has set, and how a backend that holds something else is made to hold it.
//!
//! Settings take effect at once and no rollback takes them back, so that what a session holds is one value: the names and constants of the
//! SETs that succeeded, its database, and the user variables that it gave constants. What a backend has beyond that is set to DEFAULT,
//! which is what new sessions have, except where the connection itself began with something else (character sets), a query of the
//! operator's changed it, or nothing takes it away (user variables): there the connection is made new.

mod charsets;

use crate::backend::Beginning;
use crate::sql::quote_identifier;
use crate::statements::{DATABASE, ROLE};
use crate::told::STATE_CHANGE;
use charsets::Charsets;
use forebay_core::settings::{Map, Value};

/// What is sent ahead of a client's command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// `COM_RESET_CONNECTION`, and what the connection began with.
    pub resets: bool,
    /// The roles to be taken, as SQL writes them.
    pub role: Option<Box<str>>,
    /// The database to be chosen.
    pub database: Option<Box<str>>,
    /// One `SET`.
    pub set: Option<String>,
}

impl Replay {
    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        *self == Replay::default()
    }
}

/// What a backend holds.
pub struct There<'a> {
    /// What it was set to.
    pub map: &'a Map,
    /// Nobody knows what else it holds.
    pub in_doubt: bool,
    /// What it began with.
    pub beginning: &'a Beginning,
    /// A query of the operator's ran on it.
    pub has_init_query: bool,
    /// It is to report whatever changes.
    pub tracks: bool,
    /// It must not be made new, whatever it holds.
    pub stays: bool,
    /// A reset brings back the character sets that it began with (MariaDB).
    pub resets_charsets: bool,
}

static EMPTY: Map = Map::new();

/// What takes a backend from what is there to what is wanted.
pub fn replay(there: &There<'_>, wanted: &Map) -> Replay {
    let gone = |name: &&str| !wanted.contains_key(*name) && ![DATABASE, ROLE].contains(name);
    let lost: Vec<&str> = there.map.keys().map(|name| &**name).filter(gone).collect();
    // Character sets go first: what comes behind is read by them.
    // A user variable that was set to NULL is not one that was never set; and what a handshake chose is more than a character set's name.
    let is_lasting = |name: &&str| {
        name.starts_with('@') || there.resets_charsets && charsets::NAMES.contains(name)
    };
    let resets = !there.stays
        && (there.in_doubt
            || there.has_init_query && !lost.is_empty()
            || lost.iter().any(is_lasting));
    let mut parts = Vec::new();
    let differs = |name: &str| {
        wanted
            .get(name)
            .filter(|value| resets || there.map.get(name) != Some(value))
    };
    let charsets = Charsets::of(wanted, there.beginning);
    let are_back = resets && there.resets_charsets;
    let held = match are_back {
        true => Charsets::of(&EMPTY, there.beginning),
        false => Charsets::of(there.map, there.beginning),
    };
    if charsets != held || resets && !are_back {
        parts.extend(charsets.parts());
    }
    if !resets {
        let lost = lost.iter().filter(|name| !charsets::NAMES.contains(name));
        parts.extend(lost.map(|name| undoing(name, there.beginning)));
    } else if there.beginning.globals.contains_key("sql_mode") && !wanted.contains_key("sql_mode") {
        parts.push(undoing("sql_mode", there.beginning));
    }
    if resets && there.tracks {
        parts.push(format!("@@session.{STATE_CHANGE}=1"));
    }
    let is_other =
        |name: &str| !charsets::NAMES.contains(&name) && ![DATABASE, ROLE].contains(&name);
    let others = wanted.keys().filter(|name| is_other(name));
    parts.extend(others.filter_map(|name| Some(assignment(name, differs(name)?))));
    // A reset keeps the database.
    let database = wanted
        .get(DATABASE)
        .filter(|value| there.map.get(DATABASE) != Some(value));
    Replay {
        resets,
        role: role(there, wanted).map(Into::into),
        database: database.map(|value| text_of(value).into()),
        set: (!parts.is_empty()).then(|| format!("SET {}", parts.join(", "))),
    }
}

/// The roles to be taken. A reset leaves them as they are; code that nobody knows may have taken any.
fn role<'a>(there: &'a There<'_>, wanted: &'a Map) -> Option<&'a str> {
    let begun = &*there.beginning.role;
    let held = there.map.get(ROLE).map_or(begun, text_of);
    let wanted = wanted.get(ROLE).map_or(begun, text_of);
    (held != wanted || there.in_doubt && !wanted.is_empty()).then_some(wanted)
}

/// Most settings and user variables of one session that follow it, and most bytes of their names and values: what is sent ahead of a
/// command stays small. Who has more keeps a backend.
const FOLLOWING_MAX: usize = 512;
const FOLLOWING_BYTES_MAX: usize = 64 * 1024;

/// Whether so much may follow a session.
pub fn may_follow(map: &Map) -> bool {
    let bytes = map
        .iter()
        .map(|(name, value)| name.len() + text_of(value).len());
    map.len() <= FOLLOWING_MAX && bytes.sum::<usize>() <= FOLLOWING_BYTES_MAX
}

/// The text of a value.
pub fn text_of(value: &Value) -> &str {
    match value {
        Value::Sql(text) | Value::Literal(text) => text,
    }
}

fn assignment(name: &str, value: &Value) -> String {
    format!("{}={}", target(name), text_of(value))
}

/// MySQL 9 takes the DEFAULT of these two for 0: their flags are stored the other way round.
pub fn is_reversed(name: &str) -> bool {
    matches!(name, "foreign_key_checks" | "unique_checks")
}

fn undoing(name: &str, beginning: &Beginning) -> String {
    match name {
        "sql_mode" if beginning.globals.contains_key(name) => {
            format!("@@session.sql_mode='{}'", beginning.sql_mode)
        }
        _ if is_reversed(name) => {
            format!("@@session.{name}=@@global.{name}")
        }
        _ => format!("{}=DEFAULT", target(name)),
    }
}

fn target(name: &str) -> String {
    match name.strip_prefix('@') {
        Some(variable) => format!("@{}", quote_identifier(variable)),
        None => format!("@@session.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).into(), Value::Sql((*value).into())))
            .collect()
    }

    fn beginning() -> Beginning {
        Beginning {
            client: "utf8mb4".into(),
            connection: "utf8mb4_general_ci".into(),
            results: None,
            role: "NONE".into(),
            ..Beginning::default()
        }
    }

    fn replayed(there: &[(&str, &str)], in_doubt: bool, wanted: &[(&str, &str)]) -> Replay {
        let there = There {
            map: &map(there),
            in_doubt,
            beginning: &beginning(),
            has_init_query: false,
            tracks: true,
            stays: false,
            resets_charsets: false,
        };
        replay(&there, &map(wanted))
    }

    #[test]
    fn what_follows_is_bounded_in_number_and_in_bytes() {
        let many = |count: usize| {
            (0..count)
                .map(|number| (format!("@{number}").into(), Value::Sql("1".into())))
                .collect::<Map>()
        };
        assert!(may_follow(&many(FOLLOWING_MAX)));
        assert!(!may_follow(&many(FOLLOWING_MAX + 1)));
        let long = "x".repeat(FOLLOWING_BYTES_MAX);
        assert!(!may_follow(&map(&[("@a", &long)])));
    }

    #[test]
    fn equal_settings_need_nothing() {
        let same = [("sql_mode", "''"), (DATABASE, "shop")];
        assert!(replayed(&same, false, &same).is_empty());
    }

    #[test]
    fn the_difference_is_one_set_with_character_sets_first() {
        let replay = replayed(
            &[("time_zone", "'+00:00'"), ("sql_mode", "''")],
            false,
            &[
                ("sql_mode", "'ANSI'"),
                ("character_set_client", "latin1"),
                (DATABASE, "shop"),
                ("@a b", "5"),
            ],
        );
        assert_eq!(replay.database.as_deref(), Some("shop"));
        assert!(!replay.resets);
        assert_eq!(
            replay.set.as_deref(),
            Some(
                "SET character_set_client=latin1, collation_connection=utf8mb4_general_ci, character_set_results=NULL, @@session.time_zone=DEFAULT, @`a b`=5, @@session.sql_mode='ANSI'"
            )
        );
    }

    #[test]
    fn lost_character_sets_are_those_that_the_connection_began_with() {
        let replay = replayed(&[("character_set_results", "latin1")], false, &[]);
        assert_eq!(
            replay.set.as_deref(),
            Some(
                "SET character_set_client=utf8mb4, collation_connection=utf8mb4_general_ci, character_set_results=NULL"
            )
        );
    }

    #[test]
    fn roles_are_taken_ahead_of_all_else_and_given_back() {
        let replay = replayed(&[], false, &[(ROLE, "`clerk`"), ("sql_mode", "''")]);
        assert_eq!(replay.role.as_deref(), Some("`clerk`"));
        assert_eq!(replay.set.as_deref(), Some("SET @@session.sql_mode=''"));
        assert!(!replay.resets);
        let replay = replayed(&[(ROLE, "`clerk`")], false, &[]);
        assert_eq!(replay.role.as_deref(), Some("NONE"));
        assert!(!replay.resets && replay.set.is_none());
        assert_eq!(replayed(&[], true, &[]).role.as_deref(), Some("NONE"));
    }

    #[test]
    fn a_backend_in_doubt_is_made_new_and_keeps_its_database() {
        let there = [("sql_mode", "''"), (DATABASE, "shop")];
        let replay = replayed(&there, true, &there);
        assert!(replay.resets && replay.database.is_none());
        let set = replay.set.expect("a reset brings back no character sets");
        let end = ", @@session.session_track_state_change=1, @@session.sql_mode=''";
        assert!(set.ends_with(end), "{set}");
    }
}

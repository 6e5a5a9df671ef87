//! Settings and character sets in the client's picture.

use super::{Picture, Told};
use crate::model::mysql::Flavor;
use crate::model::mysql::client::vocabulary::{COLLATIONS, SETTINGS};

/// The character sets of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charsets {
    pub(super) client: String,
    pub(super) results: Option<String>,
    pub(super) connection: String,
    pub(super) collation: String,
}

impl Charsets {
    /// Those of a handshake with this collation.
    pub(super) fn of(number: u8) -> Charsets {
        let found = COLLATIONS.iter().find(|(known, ..)| *known == number);
        let (_, collation, charset) = found.expect("programs name collations that there are");
        Charsets {
            client: (*charset).into(),
            results: Some((*charset).into()),
            connection: (*charset).into(),
            collation: (*collation).into(),
        }
    }
}

/// The collation of a character set that is named alone.
pub(super) fn usual_collation(charset: &str, flavor: Flavor) -> &'static str {
    match (charset, flavor) {
        ("utf8mb4", Flavor::MySql) => "utf8mb4_0900_ai_ci",
        ("utf8mb4", Flavor::MariaDb) => "utf8mb4_general_ci",
        ("utf8mb3", _) => "utf8mb3_general_ci",
        _ => "latin1_swedish_ci",
    }
}

impl Picture {
    /// The value as it shows.
    pub(super) fn setting(&self, name: &str) -> &str {
        if let Some(value) = self.settings.get(name) {
            return value;
        }
        let found = SETTINGS.iter().find(|(known, ..)| *known == name);
        found.map_or("", |(_, first, _)| first)
    }

    /// What `SELECT @@name` says; `None` for NULL.
    pub(super) fn shown(&self, name: &str) -> Option<String> {
        Some(match name {
            "character_set_client" => self.charsets.client.clone(),
            "character_set_results" => return self.charsets.results.clone(),
            "character_set_connection" => self.charsets.connection.clone(),
            "collation_connection" => self.charsets.collation.clone(),
            name => self.setting(name).to_owned(),
        })
    }

    /// A variable was set.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        match name {
            "character_set_client" => self.charsets.client = value.into(),
            "character_set_results" => {
                self.charsets.results = (value != "NULL").then(|| value.into());
            }
            "character_set_connection" => {
                self.charsets.connection = value.into();
                self.charsets.collation = usual_collation(value, self.flavor).into();
            }
            name => {
                self.settings.insert(name, value.into());
            }
        }
        self.tell_variable(name);
        self.tell_state();
    }

    /// What is told of a variable, if it is one of those.
    pub(super) fn tell_variable(&mut self, name: &'static str) {
        let value = match name {
            "autocommit" if self.setting(name) == "1" => "ON".to_owned(),
            "autocommit" => "OFF".to_owned(),
            "time_zone"
            | "character_set_client"
            | "character_set_results"
            | "character_set_connection" => self.shown(name).unwrap_or_default(),
            _ => return,
        };
        self.told
            .retain(|it| !matches!(it, Told::Variable(known, _) if *known == name));
        self.told.push(Told::Variable(name, value));
    }

    /// Something of the session has changed, which it may want to be told.
    pub(super) fn tell_state(&mut self) {
        self.told.retain(|it| *it != Told::State);
        if self.setting("session_track_state_change") == "1" {
            self.told.push(Told::State);
        }
    }

    /// Another database.
    pub(super) fn choose(&mut self, name: &str) {
        self.database = Some(name.into());
        self.told.retain(|it| !matches!(it, Told::Schema(_)));
        self.told.push(Told::Schema(name.into()));
        self.tell_state();
    }
}

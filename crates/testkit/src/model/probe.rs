//! The questions by which the proxy learns what a session holds: known by their text, answered from the model's own state.

use super::evaluate::{Rows, Value};
use super::server::Shared;
use super::session::Session;
use super::sql::Probe;
use forebay_postgres::probe::{IDENTITY, MENTIONED, OBJECTS, SETTINGS, UNTIMED};

/// How the question for settings by their names begins and ends.
const NAMED: (&str, &str) = (
    "SELECT 'n', n, pg_catalog.current_setting(n, true), NULL FROM pg_catalog.unnest(ARRAY['",
    "']::pg_catalog.text[]) n",
);

/// Which of the questions this is.
pub(crate) fn recognized(text: &str) -> Option<Probe> {
    match text {
        SETTINGS => Some(Probe::Settings),
        IDENTITY => Some(Probe::Identity),
        // There are no functions whose words matter.
        UNTIMED => Some(Probe::Mentioned),
        OBJECTS => Some(Probe::Objects),
        text => {
            if is_mentioned(text) {
                return Some(Probe::Mentioned);
            }
            let names = text.strip_prefix(NAMED.0)?.strip_suffix(NAMED.1)?;
            Some(Probe::Named(
                names.split("','").map(str::to_owned).collect(),
            ))
        }
    }
}

fn is_mentioned(text: &str) -> bool {
    let (head, tail) = MENTIONED.split_once("{known}").unwrap_or((MENTIONED, ""));
    text.starts_with(head) && text.ends_with(tail)
}

fn row(kind: &str, name: &str, setting: Option<String>) -> Vec<Value> {
    let setting = setting.map_or(Value::Null, Value::Text);
    let text = |text: &str| Value::Text(text.to_owned());
    vec![text(kind), text(name), setting.clone(), setting]
}

impl Session {
    pub(crate) fn probe(&self, shared: &Shared, probe: &Probe) -> Rows {
        let value = |name: &str| self.setting(shared, name);
        let rows: Vec<_> = match probe {
            Probe::Settings => {
                let names = self.undoable.layers.keys().into_iter();
                // Neither identities nor settings with a dot are in `pg_settings`.
                let listed = names.filter(|name| {
                    !name.contains('.') && !matches!(*name, "role" | "session_authorization")
                });
                listed.map(|name| row("s", name, value(name))).collect()
            }
            Probe::Identity => vec![
                row("i", "role", Some(self.role().to_owned())),
                row(
                    "i",
                    "session_authorization",
                    Some(self.session_user().to_owned()),
                ),
            ],
            Probe::Mentioned => Vec::new(),
            Probe::Named(names) => names
                .iter()
                .map(|name| row("n", name, value(name)))
                .collect(),
            Probe::Objects => {
                let prepared = self
                    .statements
                    .iter()
                    .filter(|(_, prepared)| prepared.from_sql);
                let prepared = prepared.map(|(name, _)| row("p", name, None));
                self.objects()
                    .map(|kind| row("o", kind, None))
                    .chain(prepared)
                    .collect()
            }
        };
        Rows::List(rows.into_iter())
    }

    fn objects(&self) -> impl Iterator<Item = &'static str> {
        [
            ("temporary_object", !self.undoable.temp_tables.is_empty()),
            ("advisory_lock", !self.locks.is_empty()),
            ("listen", !self.channels.is_empty()),
        ]
        .into_iter()
        .filter_map(|(kind, held)| held.then_some(kind))
    }
}

//! The tables `[[secrets]]`: database users and their passwords, from the file itself, another file, RDS's JSON, or the environment.
//!
//! A secret is one database user, as in RDS. Passwords go straight into a [`SecretString`]; messages name paths and variables only.

use super::Environment;
use super::reader::Table;
use super::report::Place;
use super::values;
use crate::files::{self, SmallFile};
use secrecy::SecretString;
use serde::Deserialize;
use std::cell::Cell;
use zeroize::Zeroizing;

/// One database user as the file gives it.
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) username: String,
    pub(super) password: SecretString,
    /// The password of before, while it may still be in use.
    pub(super) previous: Option<SecretString>,
    /// Whether a proxy uses it.
    pub(super) used: Cell<bool>,
    pub(super) place: Place,
}

/// The four ways to give a password.
const SOURCES: Sources = Sources {
    inline: "password",
    file: "password_file",
    rds: "file",
    variable: "password_env",
    rule: "give one of password_file, file, password_env, password",
};

/// The same for the password of before, which may be missing.
const PREVIOUS: Sources = Sources {
    inline: "previous_password",
    file: "previous_password_file",
    rds: "previous_file",
    variable: "previous_password_env",
    rule: "give one of previous_password_file, previous_file, previous_password_env, previous_password",
};

/// The keys that name where a password is.
struct Sources {
    inline: &'static str,
    file: &'static str,
    rds: &'static str,
    variable: &'static str,
    rule: &'static str,
}

impl Sources {
    fn all(&self) -> [&'static str; 4] {
        [self.inline, self.file, self.rds, self.variable]
    }
}

/// Every secret that has a name, so that references to it can be resolved even where its contents are wrong.
pub(super) fn read(root: &Table<'_>, environment: Environment<'_>) -> Vec<Secret> {
    let mut secrets: Vec<Secret> = Vec::new();
    for table in root.tables("secrets") {
        let keys = [SOURCES.all(), PREVIOUS.all()].concat();
        table.allow(&[&["name", "username"], &*keys].concat());
        let Some((name, field)) =
            table.text_required("name", "a name for auth = [ { secret = … } ]")
        else {
            continue;
        };
        if secrets.iter().any(|secret| secret.name == name) {
            table.wrong(
                &field,
                "is used twice: every secret needs a name of its own",
            );
        }
        let (username, password) = contents(&table, environment);
        secrets.push(Secret {
            name: name.to_owned(),
            previous: previous(&table, &username, environment),
            username,
            password,
            used: Cell::new(false),
            place: table.place.clone(),
        });
    }
    secrets
}

/// User and password; empty where they are wrong, which has then been reported.
fn contents(table: &Table<'_>, environment: Environment<'_>) -> (String, SecretString) {
    let username = username(table);
    let given = source(table, &SOURCES);
    if given == Given::Nothing {
        table.missing(SOURCES.file, SOURCES.rule);
    }
    let (from_file, password) = password_at(table, &SOURCES, given, environment);
    let is_file = given == Given::At(SOURCES.rds);
    let username = one_username(table, is_file, username, from_file);
    let password = password.unwrap_or_default();
    (username, SecretString::from(password.as_str()))
}

/// The password of before, where one is given.
fn previous(
    table: &Table<'_>,
    username: &str,
    environment: Environment<'_>,
) -> Option<SecretString> {
    let given = source(table, &PREVIOUS);
    let (name, password) = password_at(table, &PREVIOUS, given, environment);
    if let Some(name) = name.filter(|name| name != username)
        && let Some(field) = table.field(PREVIOUS.rds)
    {
        table.wrong(
            &field,
            format!("the file is of user {name:?}: both passwords of a secret are one user's"),
        );
    }
    password.map(|password| SecretString::from(password.as_str()))
}

/// Where a password is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    At(&'static str),
    /// In several places, which has been reported.
    Ambiguous,
}

fn source(table: &Table<'_>, sources: &Sources) -> Given {
    let given = sources.all().into_iter();
    let given: Vec<&str> = given.filter(|key| table.field(key).is_some()).collect();
    match given.as_slice() {
        [] => Given::Nothing,
        [one] => Given::At(one),
        several => {
            let fix = format!("{} are given at once: {}", several.join(", "), sources.rule);
            table.report.error(&table.place, None, fix);
            Given::Ambiguous
        }
    }
}

/// The password that is given, and the user that is said beside it.
fn password_at(
    table: &Table<'_>,
    sources: &Sources,
    given: Given,
    environment: Environment<'_>,
) -> (Option<String>, Option<Password>) {
    match given {
        Given::Nothing | Given::Ambiguous => (None, None),
        Given::At(key) if key == sources.rds => rds_file(table, key),
        Given::At(key) if key == sources.file => (None, password_file(table, key)),
        Given::At(key) if key == sources.variable => (None, variable(table, key, environment)),
        Given::At(key) => (None, inline(table, key)),
    }
}

/// The key `username`, if it is there and usable.
fn username(table: &Table<'_>) -> Option<String> {
    let (text, field) = table.text("username")?;
    if values::is_user(text) {
        return Some(text.to_owned());
    }
    let fix = format!(
        "must be the name of a database user, 1 to {} characters",
        values::USER_CHARS_MAX
    );
    table.wrong(&field, fix);
    None
}

/// The name from the key or from RDS's JSON; where both are given they must agree.
fn one_username(
    table: &Table<'_>,
    may_be_in_file: bool,
    key: Option<String>,
    file: Option<String>,
) -> String {
    let field = table.field("username");
    match (key, file) {
        (Some(key), Some(file)) if key != file => {
            if let Some(field) = field {
                table.wrong(
                    &field,
                    format!("the secret's file says {file:?}: leave username out, or correct one"),
                );
            }
            key
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => {
            if field.is_none() && !may_be_in_file {
                table.missing("username", "the database user this secret is for");
            }
            String::new()
        }
    }
}

/// Wiped when dropped.
type Password = Zeroizing<String>;

fn inline(table: &Table<'_>, key: &str) -> Option<Password> {
    let (text, field) = table.text(key)?;
    if table.report.source_world_readable() {
        table.report.warning(
            &field.place,
            "this file holds a password and every user of this machine may read it: chmod 600, or use password_file",
        );
    }
    checked(table, &field.place, text)
}

fn password_file(table: &Table<'_>, key: &str) -> Option<Password> {
    let (file, place) = secret_file(table, key)?;
    let Ok(text) = std::str::from_utf8(&file.bytes) else {
        table
            .report
            .error(&place, None, "the file is not text in UTF-8");
        return None;
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    checked(table, &place, text.strip_suffix('\r').unwrap_or(text))
}

/// A secret as RDS keeps it; `host`, `port`, `engine`, `dbname` and all else is ignored, as RDS does.
#[derive(Deserialize)]
struct RdsSecret {
    username: String,
    #[serde(deserialize_with = "wiped")]
    password: Password,
}

fn wiped<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

fn rds_file(table: &Table<'_>, key: &str) -> (Option<String>, Option<Password>) {
    let Some((file, place)) = secret_file(table, key) else {
        return (None, None);
    };
    let secret: RdsSecret = match serde_json::from_slice(&file.bytes) {
        Ok(secret) => secret,
        Err(error) => {
            // Not the parser's words: they repeat what they found.
            let fix = format!(
                "line {} of the file: must be JSON such as {{\"username\": …, \"password\": …}}",
                error.line()
            );
            table.report.error(&place, None, fix);
            return (None, None);
        }
    };
    if !values::is_user(&secret.username) {
        table.report.error(
            &place,
            None,
            "\"username\" in the file is not the name of a database user",
        );
        return (None, None);
    }
    let password = checked(table, &place, &secret.password);
    (Some(secret.username), password)
}

fn variable(table: &Table<'_>, key: &str, environment: Environment<'_>) -> Option<Password> {
    let (name, field) = table.text(key)?;
    let Some(text) = environment(name).map(Zeroizing::new) else {
        table.wrong(&field, "is not set in the environment (or not UTF-8)");
        return None;
    };
    checked(table, &field.place, &text)
}

/// Reads the file that a key names; warns where everyone may read it.
fn secret_file(table: &Table<'_>, key: &str) -> Option<(SmallFile, Place)> {
    let (name, field) = table.text(key)?;
    let path = table.report.path(name);
    match files::read(&path) {
        Ok(file) => {
            if file.world_readable {
                let text = format!(
                    "every user of this machine may read {}: chmod 600",
                    path.display()
                );
                table.report.warning(&field.place, text);
            }
            Some((file, field.place))
        }
        Err(fix) => {
            table.report.error(&field.place, None, fix);
            None
        }
    }
}

fn checked(table: &Table<'_>, place: &Place, text: &str) -> Option<Password> {
    if text.is_empty() || text.contains('\0') {
        table.report.error(
            place,
            None,
            "the password is empty or holds a NUL character",
        );
        return None;
    }
    Some(Zeroizing::new(text.to_owned()))
}

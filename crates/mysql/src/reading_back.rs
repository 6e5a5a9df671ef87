//! Settings that were given a value that their text does not tell (`SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')`): the server is
//! asked what they are now, behind the client's command, so that they follow the client like any other.

use crate::judging::Becomes;
use crate::sql::{Dialect, Variable, quote_identifier, variable};
use crate::wire::DecodeError;
use crate::wire::row::text_values;
use forebay_core::settings::Value;

/// One question: variables of the session, and what the server says of them.
#[derive(Debug, Default)]
pub struct ReadingBack {
    names: Vec<Box<str>>,
    values: Option<Vec<Option<Box<str>>>>,
}

impl ReadingBack {
    /// About these as well.
    pub fn add(&mut self, names: &[Box<str>]) {
        for name in names {
            if !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
    }

    /// Whether there is nothing to be asked.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The question.
    pub fn query(&self) -> String {
        let names = self.names.iter();
        let columns: Vec<String> = names
            .map(|name| format!("@@session.{}", quote_identifier(name)))
            .collect();
        format!("SELECT {}", columns.join(", "))
    }

    /// The row that answers it.
    ///
    /// # Errors
    /// Whatever is no row of as many columns.
    pub fn on_row(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let mut values = Vec::with_capacity(self.names.len());
        for value in text_values(payload) {
            let text = value?.map(|bytes| String::from_utf8_lossy(bytes).into());
            values.push(text);
        }
        if values.len() != self.names.len() {
            return Err(DecodeError::Unexpected);
        }
        self.values = Some(values);
        Ok(())
    }

    /// What has become of them; none where that was not said, or cannot be written so that it is read alike everywhere.
    pub fn changes(self, dialect: Dialect) -> Option<Vec<(Box<str>, Becomes)>> {
        let mut changes = Vec::with_capacity(self.names.len());
        for (name, value) in self.names.into_iter().zip(self.values?) {
            let form = variable(&name, dialect).map(|Variable { form, .. }| form)?;
            let text = match value {
                Some(reported) => form.written(&reported)?,
                None => "NULL".to_owned(),
            };
            if &*name == "collation_connection" {
                changes.push(("character_set_connection".into(), Becomes::Nothing));
            }
            changes.push((name, Becomes::Value(Value::Sql(text.into()))));
        }
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Family;
    use crate::wire::write::counted_or_null;

    fn asked(names: &[&str]) -> ReadingBack {
        let mut asked = ReadingBack::default();
        let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
        asked.add(&names);
        asked.add(&names);
        asked
    }

    fn row(values: &[Option<&str>]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in values {
            counted_or_null(&mut out, value.map(str::as_bytes));
        }
        out
    }

    fn changes(names: &[&str], values: &[Option<&str>]) -> Option<Vec<(Box<str>, Becomes)>> {
        let mut asked = asked(names);
        asked.on_row(&row(values)).expect("a row");
        asked.changes(Dialect::new(Family::MySql, 90704))
    }

    #[test]
    fn each_is_asked_for_once_and_kept_as_it_can_be_set_again() {
        let names = ["sql_mode", "collation_connection"];
        assert_eq!(
            asked(&names).query(),
            "SELECT @@session.`sql_mode`, @@session.`collation_connection`"
        );
        let sql = |text: &str| Becomes::Value(Value::Sql(text.into()));
        let expected = [
            ("sql_mode".into(), sql("'ANSI_QUOTES,IGNORE_SPACE'")),
            ("character_set_connection".into(), Becomes::Nothing),
            ("collation_connection".into(), sql("'latin1_bin'")),
        ];
        let values = [Some("ANSI_QUOTES,IGNORE_SPACE"), Some("latin1_bin")];
        assert_eq!(changes(&names, &values).as_deref(), Some(&expected[..]));
        let null = changes(&["character_set_results"], &[None]).expect("it can be set");
        assert_eq!(null[0].1, sql("NULL"));
    }

    #[test]
    fn what_was_not_said_or_cannot_be_written_is_not_known() {
        assert_eq!(
            asked(&["sql_mode"]).changes(Dialect::new(Family::MySql, 90704)),
            None
        );
        assert_eq!(changes(&["time_zone"], &[Some("a\\b")]), None);
        assert_eq!(changes(&["no_such_thing"], &[Some("1")]), None);
        assert!(asked(&["sql_mode"]).on_row(&row(&[])).is_err());
    }
}

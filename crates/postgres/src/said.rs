//! A statement as its client said it, to be told to people: only when something is told of it is its shape worked out.

use crate::sql::{self, Fingerprint};
use crate::statements::Statement;
use forebay_core::StatementShape;
use memchr::memchr;

/// The text of a statement or query string.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    text: &'a [u8],
    /// Whether the server takes backslashes in plain strings for ordinary characters; `None` when that is not known.
    conforming: Option<bool>,
    /// What others like it have in common, if it was worked out before.
    fingerprint: Option<Fingerprint>,
    /// Names of settings with a dot that it speaks of, if they were worked out before.
    settings: Option<&'a [String]>,
}

impl<'a> Said<'a> {
    /// A text that was just received.
    pub fn new(text: &'a [u8], conforming: Option<bool>) -> Said<'a> {
        Said {
            text,
            conforming,
            fingerprint: None,
            settings: None,
        }
    }

    /// A text that was prepared before; `None` if it was not kept. How backslashes in it were read then is not known any more.
    pub fn statement(statement: &'a Statement) -> Option<Said<'a>> {
        (!statement.is_unread).then(|| {
            let backslash = memchr(b'\\', &statement.text).is_some();
            Said {
                fingerprint: statement.fingerprint,
                settings: statement.settings.as_deref(),
                ..Said::new(&statement.text, (!backslash).then_some(true))
            }
        })
    }

    /// The text.
    pub fn text(self) -> &'a [u8] {
        self.text
    }

    /// Names of settings with a dot that it may set; `None` if that cannot be told.
    pub fn settings(self) -> Option<Vec<String>> {
        let worked_out = || sql::mentioned(self.text, true);
        self.settings
            .map_or_else(worked_out, |settings| Some(settings.to_vec()))
    }

    /// What others like it have in common.
    pub fn fingerprint(self) -> Fingerprint {
        let worked_out = || sql::fingerprint(self.text, self.conforming.unwrap_or(true));
        self.fingerprint.unwrap_or_else(worked_out)
    }

    /// Whether it calls one of these functions, which are in lower case.
    pub fn calls(self, functions: &[Box<str>]) -> bool {
        let calls = |conforming| sql::calls(self.text, conforming, functions);
        match self.conforming {
            Some(conforming) => calls(conforming),
            None => calls(true) || calls(false),
        }
    }

    /// What people are told.
    pub fn shape(self) -> StatementShape {
        // In some encodings the second byte of a character is that of a backslash: who takes it for one may take a constant for a name.
        let doubtful = !self.text.is_ascii() && memchr(b'\\', self.text).is_some();
        let text = match self.conforming.filter(|_| !doubtful) {
            Some(conforming) => {
                sql::normalized(self.text, conforming, StatementShape::TEXT_BYTES_MAX)
            }
            None => "…".to_owned(),
        };
        StatementShape {
            fingerprint: self.fingerprint().0,
            text: text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_not_told() {
        let one = Said::new(b"SELECT pg_advisory_lock(42) -- mine", Some(true)).shape();
        assert_eq!(&*one.text, "select pg_advisory_lock(?)");
        let other = Said::new(b"select pg_advisory_lock( 43 )", Some(true)).shape();
        assert_eq!(one, other);
    }

    #[test]
    fn a_text_that_can_be_read_in_two_ways_is_not_told() {
        let text = br"select pg_advisory_lock(1), '\' or secret --'";
        assert_eq!(&*Said::new(text, None).shape().text, "…");
        let text = b"select pg_advisory_lock(1), '\x83\\secret'";
        assert_eq!(&*Said::new(text, Some(true)).shape().text, "…");
    }
}

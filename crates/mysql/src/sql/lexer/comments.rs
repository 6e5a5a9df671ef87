//! Comments: those that are passed over, those that a server runs, and hints, which are a little of both.
//!
//! MariaDB documents which versions it runs: its own, and MySQL's up to 5.6 (`/*!50700` to `/*!99999` are for MySQL alone);
//! `/*M!` is its own. MySQL knows no `/*M!`.

use memchr::{memchr2, memmem};

use super::{Kind, Lexer};
use crate::sql::dialect::Charset;
use crate::sql::fact::Fact;

/// MySQL's versions that MariaDB takes for a comment's, whatever its own: what they enable is not in it.
const NOT_FOR_MARIADB: std::ops::RangeInclusive<u32> = 50700..=99999;

impl Lexer<'_> {
    /// A comment alone gives `None`, and so do the ends of one that is run.
    pub(super) fn comment_or_operator(&mut self, start: usize, first: u8) -> Option<Kind> {
        let second = self.byte(start + 1);
        match (first, second) {
            (b'#', _) => return self.line_comment(start + 1),
            (b'-', b'-') if self.begins_comment(start + 2) => return self.line_comment(start + 2),
            (b'-', b'>') => return Some(self.operator(start)),
            (b'/', b'*') => return self.block_comment(start),
            (b'*', b'/') if self.in_comment => {
                self.in_comment = false;
                self.at = start + 2;
                return None;
            }
            _ => {}
        }
        self.at = start + 1;
        Some(Kind::Operator)
    }

    /// Two dashes begin a comment only before white space or a control character.
    fn begins_comment(&mut self, at: usize) -> bool {
        let byte = self.byte(at);
        if byte >= 0x80 && self.dialect.charset != Charset::Utf8 {
            self.raise_trouble();
        }
        byte <= b' ' || byte == 0x7f
    }

    /// Only a line feed ends it, or a NUL, behind which the server reads on.
    fn line_comment(&mut self, from: usize) -> Option<Kind> {
        self.commented = true;
        let rest = self.text.get(from..).unwrap_or_default();
        match memchr2(b'\n', 0, rest) {
            Some(offset) if rest[offset] == 0 => Some(self.give_up()),
            Some(offset) => {
                self.at = from + offset;
                None
            }
            None => {
                self.at = self.text.len();
                None
            }
        }
    }

    fn block_comment(&mut self, start: usize) -> Option<Kind> {
        self.commented = true;
        let third = self.byte(start + 2);
        if third == b'!' {
            return self.executable(start + 3, false);
        }
        if third == b'M' && self.byte(start + 3) == b'!' && self.dialect.is_mariadb() {
            return self.executable(start + 4, true);
        }
        let Some(end) = self.comment_end(start + 2) else {
            return Some(self.give_up());
        };
        if third == b'+' && !self.reads_hint(start + 3..end - 2) {
            return Some(self.give_up());
        }
        self.at = end;
        None
    }

    /// Where a comment ends in which others do not nest.
    fn comment_end(&self, from: usize) -> Option<usize> {
        let rest = self.text.get(from..)?;
        memmem::find(rest, b"*/").map(|offset| from + offset + 2)
    }

    /// Notes what a hint sets. False if it may end elsewhere: hints know quotes.
    fn reads_hint(&mut self, range: std::ops::Range<usize>) -> bool {
        let hint = self.text.get(range).unwrap_or_default();
        let mentions = |name: &[u8]| {
            hint.windows(name.len())
                .any(|part| part.eq_ignore_ascii_case(name))
        };
        if mentions(b"set_var") || mentions(b"resource_group") {
            self.notes.add(Fact::SetsForStatement);
        }
        let even = |quote: u8| hint.iter().filter(|byte| **byte == quote).count() % 2 == 0;
        even(b'\'') && even(b'"') && even(b'`')
    }

    /// Behind `/*!` or `/*M!`: code, if the server is of that version.
    fn executable(&mut self, from: usize, mariadb_only: bool) -> Option<Kind> {
        if self.in_comment {
            // The first `*/` would end both.
            self.raise_trouble();
        }
        let digits = (self.digits_end(from) - from).min(6);
        if digits < 5 {
            self.in_comment = true;
            self.at = from;
            return None;
        }
        self.notes.add(Fact::VersionedComment);
        let runs = self.runs(from, digits, mariadb_only);
        if digits == 6 && !self.dialect.is_mariadb() && runs != self.runs(from, 5, false) {
            // Older versions of MySQL read five digits.
            self.raise_trouble();
        }
        if runs {
            self.in_comment = true;
            self.at = from + digits;
            return None;
        }
        self.skip_executable(from)
    }

    fn runs(&self, from: usize, digits: usize, mariadb_only: bool) -> bool {
        let written = self.text.get(from..from + digits).unwrap_or_default();
        let version = written
            .iter()
            .fold(0, |version, digit| version * 10 + u32::from(digit - b'0'));
        let foreign =
            self.dialect.is_mariadb() && !mariadb_only && NOT_FOR_MARIADB.contains(&version);
        version <= self.dialect.version && !foreign
    }

    /// One level of comments nests in what is not run.
    fn skip_executable(&mut self, from: usize) -> Option<Kind> {
        let mut at = from;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let Some(offset) = memchr2(b'*', b'/', rest) else {
                return Some(self.give_up());
            };
            at += offset;
            match (self.text[at], self.byte(at + 1)) {
                (b'*', b'/') => {
                    self.at = at + 2;
                    return None;
                }
                (b'/', b'*') => match self.comment_end(at + 2) {
                    Some(end) => at = end,
                    None => return Some(self.give_up()),
                },
                _ => at += 1,
            }
        }
    }
}

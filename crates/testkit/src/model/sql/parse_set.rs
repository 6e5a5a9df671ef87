//! SET, RESET, SHOW's name and DISCARD: the part of the grammar that carries session state.
//!
//! Special spellings become what they stand for: `SET TIME ZONE x` is `SET TimeZone`, `SET NAMES x` is
//! `SET client_encoding`, `SET SESSION AUTHORIZATION x` sets `session_authorization`.

use super::super::error::PgError;
use super::lex::Token;
use super::parse::Parser;
use super::statement::{Discard, Scope, SetValue, Statement};

impl Parser {
    pub(super) fn set(&mut self) -> Result<Statement, PgError> {
        if self.word("transaction") {
            return self.modes().map(Statement::SetTransaction);
        }
        if self.words(&["session", "characteristics", "as", "transaction"]) {
            return self.modes().map(Statement::SetCharacteristics);
        }
        let scope = self.scope();
        let (name, value) = self.assignment()?;
        Ok(Statement::Set { scope, name, value })
    }

    /// `SESSION` may be the scope or the start of `SESSION AUTHORIZATION`.
    fn scope(&mut self) -> Scope {
        if self.word("local") {
            return Scope::Local;
        }
        let start = self.at;
        if self.word("session") && self.word("authorization") {
            self.at = start;
        }
        Scope::Session
    }

    fn assignment(&mut self) -> Result<(String, SetValue), PgError> {
        if self.words(&["time", "zone"]) {
            return Ok(("timezone".into(), self.one_value(&["default", "local"])?));
        }
        if self.word("names") {
            return Ok(("client_encoding".into(), self.one_value(&["default"])?));
        }
        if self.words(&["session", "authorization"]) {
            return Ok((
                "session_authorization".into(),
                self.one_value(&["default"])?,
            ));
        }
        if self.word("role") {
            let _ = self.symbol('=') || self.word("to");
            return Ok(("role".into(), self.one_value(&["default"])?));
        }
        let name = self.setting_name()?;
        let to = self.symbol('=') || self.word("to");
        self.expect(to)?;
        Ok((name, self.value_list()?))
    }

    /// One value, or the default when it is one of `defaults`.
    fn one_value(&mut self, defaults: &[&str]) -> Result<SetValue, PgError> {
        if defaults.iter().any(|word| self.word(word)) {
            return Ok(SetValue::Default);
        }
        Ok(SetValue::List(vec![self.value()?]))
    }

    fn value_list(&mut self) -> Result<SetValue, PgError> {
        if self.word("default") {
            return Ok(SetValue::Default);
        }
        let mut values = vec![self.value()?];
        while self.symbol(',') {
            values.push(self.value()?);
        }
        Ok(SetValue::List(values))
    }

    fn value(&mut self) -> Result<String, PgError> {
        let sign = if self.symbol('-') { "-" } else { "" };
        match self.peek().cloned() {
            Some(Token::Number(digits)) => {
                self.at += 1;
                Ok(format!("{sign}{digits}"))
            }
            Some(Token::Word(text) | Token::Text(text) | Token::Quoted(text))
                if sign.is_empty() =>
            {
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A setting's name, with its class if it has one (`app.user`).
    pub(super) fn setting_name(&mut self) -> Result<String, PgError> {
        if self.words(&["time", "zone"]) {
            return Ok("timezone".into());
        }
        if self.words(&["session", "authorization"]) {
            return Ok("session_authorization".into());
        }
        if self.words(&["transaction", "isolation", "level"]) {
            return Ok("transaction_isolation".into());
        }
        let mut name = self.name()?;
        while self.symbol('.') {
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    pub(super) fn reset(&mut self) -> Result<Statement, PgError> {
        if self.word("all") {
            return Ok(Statement::ResetAll);
        }
        self.setting_name().map(Statement::Reset)
    }

    pub(super) fn discard(&mut self) -> Result<Statement, PgError> {
        for (words, what) in [
            ("all", Discard::All),
            ("plans", Discard::Plans),
            ("sequences", Discard::Sequences),
            ("temp", Discard::Temp),
            ("temporary", Discard::Temp),
        ] {
            if self.word(words) {
                return Ok(Statement::Discard(what));
            }
        }
        Err(self.unexpected())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn set(scope: Scope, name: &str, values: &[&str]) -> Statement {
        let value = match values {
            [] => SetValue::Default,
            values => SetValue::List(values.iter().map(|v| (*v).to_owned()).collect()),
        };
        Statement::Set {
            scope,
            name: name.into(),
            value,
        }
    }

    #[test]
    fn every_spelling_of_set_names_its_setting() {
        for (text, expected) in [
            ("SET a.B = 'C'", set(Scope::Session, "a.b", &["C"])),
            (
                "SET SESSION work_mem TO 64",
                set(Scope::Session, "work_mem", &["64"]),
            ),
            ("SET LOCAL x = on", set(Scope::Local, "x", &["on"])),
            (
                "SET search_path = a, \"B\"",
                set(Scope::Session, "search_path", &["a", "B"]),
            ),
            (
                "SET TIME ZONE 'UTC'",
                set(Scope::Session, "timezone", &["UTC"]),
            ),
            (
                "SET NAMES utf8",
                set(Scope::Session, "client_encoding", &["utf8"]),
            ),
            (
                "SET SESSION AUTHORIZATION bob",
                set(Scope::Session, "session_authorization", &["bob"]),
            ),
            (
                "SET SESSION SESSION AUTHORIZATION bob",
                set(Scope::Session, "session_authorization", &["bob"]),
            ),
            ("SET LOCAL ROLE none", set(Scope::Local, "role", &["none"])),
            ("SET x TO DEFAULT", set(Scope::Session, "x", &[])),
            ("SET x = -1", set(Scope::Session, "x", &["-1"])),
        ] {
            assert_eq!(parse(text).expect(text), [expected], "{text}");
        }
    }
}

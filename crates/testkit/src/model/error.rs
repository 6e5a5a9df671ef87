//! The errors and notices of the model server, as PostgreSQL words them (appendix "PostgreSQL Error Codes").
//!
//! One small value: severity, SQLSTATE, message. What an error does to the transaction is decided in `xact.rs`.

use std::borrow::Cow;

use super::wire::DecodeError;

/// How grave a report is; the names are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something the client may want to know; nothing failed.
    Warning,
    /// As a warning, with less weight.
    Notice,
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    /// The word the protocol uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// An error or notice with its SQLSTATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgError {
    /// How grave it is.
    pub severity: Severity,
    /// The five characters of the SQLSTATE.
    pub code: Cow<'static, str>,
    /// The primary message.
    pub message: String,
}

impl PgError {
    /// A failed statement.
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// The end of the connection.
    pub fn fatal(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Fatal, code, message)
    }

    /// A warning; the statement goes on.
    pub fn warning(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    fn new(
        severity: Severity,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code: code.into(),
            message: message.into(),
        }
    }

    /// 42601, near the offending word.
    pub(crate) fn syntax(near: &str) -> Self {
        Self::error("42601", format!("syntax error at or near \"{near}\""))
    }

    /// 25P02: only the end of the transaction is accepted now.
    pub(crate) fn failed_transaction() -> Self {
        Self::error(
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block",
        )
    }

    /// 25P01 for statements that make sense only inside a transaction block.
    pub(crate) fn needs_block(statement: &str) -> Self {
        Self::error(
            "25P01",
            format!("{statement} can only be used in transaction blocks"),
        )
    }

    /// 57014: what a CancelRequest does to the running statement.
    pub(crate) fn canceled() -> Self {
        Self::error("57014", "canceling statement due to user request")
    }
}

impl From<DecodeError> for PgError {
    fn from(cause: DecodeError) -> Self {
        match cause {
            DecodeError::Length(_) => Self::fatal("08P01", "invalid message length"),
            DecodeError::UnknownType(kind) => {
                Self::fatal("08P01", format!("invalid frontend message type {kind}"))
            }
            DecodeError::BadString => Self::error("08P01", "invalid string in message"),
            DecodeError::Truncated => Self::error("08P01", "insufficient data left in message"),
            DecodeError::Trailing(_) => Self::error("08P01", "invalid message format"),
        }
    }
}

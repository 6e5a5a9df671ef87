//! What is wrong with a configuration: where, which value, and what would be right.
//!
//! One [`ConfigError`] is one line of text. All errors of a file are reported together, in the order of its lines. A value that may
//! be a secret is never part of an error.

use std::fmt;
use std::sync::Arc;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as the operator named it, or `URL`, or `command line`.
    pub source: Arc<str>,
    /// Line in that file, counted from 1.
    pub line: Option<usize>,
    /// The key, from the root (`proxies[0].target_group.init_query`); empty when it is about the whole source.
    pub key: String,
    /// The value as it was given; `None` where there is none, or where it must not be shown.
    pub value: Option<String>,
    /// What would be right.
    pub fix: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_position(f, &self.source, self.line, &self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong, one line each; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> ConfigErrors {
        ConfigErrors(vec![error])
    }
}

/// Something that is allowed, and probably not what the operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// As [`ConfigError::source`].
    pub source: Arc<str>,
    /// As [`ConfigError::line`].
    pub line: Option<usize>,
    /// As [`ConfigError::key`].
    pub key: String,
    /// What it is about, and what to do.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_position(f, &self.source, self.line, &self.key)?;
        write!(f, ": {}", self.text)
    }
}

fn write_position(
    f: &mut fmt::Formatter<'_>,
    source: &str,
    line: Option<usize>,
    key: &str,
) -> fmt::Result {
    write!(f, "{source}")?;
    if let Some(line) = line {
        write!(f, ":{line}")?;
    }
    if !key.is_empty() {
        write!(f, ": {key}")?;
    }
    Ok(())
}

//! Collects errors and warnings while a configuration is read, so that the operator sees all of them at once.
//!
//! Readers go on after an error with a harmless value; [`Report::finish`] lets nothing out unless there was none.

use super::error::{ConfigError, ConfigErrors, Warning};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value stands: its key from the root, and its line.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) key: String,
    pub(crate) line: Option<usize>,
}

/// The errors and warnings of one source.
#[derive(Debug)]
pub(crate) struct Report {
    source: Arc<str>,
    directory: PathBuf,
    source_world_readable: bool,
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Report {
    /// A report about `source`, whose relative paths start at `directory`.
    pub(crate) fn new(source: &str, directory: &Path, source_world_readable: bool) -> Report {
        Report {
            source: Arc::from(source),
            directory: directory.to_owned(),
            source_world_readable,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Whether every user of this machine may read the source itself.
    pub(crate) fn source_world_readable(&self) -> bool {
        self.source_world_readable
    }

    /// The path that `name` means in this source.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Notes an error; `value` must not be a secret.
    pub(crate) fn error(&self, place: &Place, value: Option<String>, fix: impl Into<String>) {
        self.errors.borrow_mut().push(ConfigError {
            source: Arc::clone(&self.source),
            line: place.line,
            key: place.key.clone(),
            value,
            fix: fix.into(),
        });
    }

    /// Notes a warning.
    pub(crate) fn warning(&self, place: &Place, text: impl Into<String>) {
        self.warnings.borrow_mut().push(Warning {
            source: Arc::clone(&self.source),
            line: place.line,
            key: place.key.clone(),
            text: text.into(),
        });
    }

    /// `value` with the warnings, or all errors, in the order of their lines.
    pub(crate) fn finish<T>(self, value: T) -> Result<(T, Vec<Warning>), ConfigErrors> {
        if self.errors.borrow().is_empty() {
            let mut warnings = self.warnings.into_inner();
            warnings.sort_by_key(|warning| warning.line);
            return Ok((value, warnings));
        }
        Err(self.into_errors())
    }

    /// All errors in the order of their lines.
    pub(crate) fn into_errors(self) -> ConfigErrors {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.line);
        ConfigErrors(errors)
    }
}

//! `forebay.toml`: from the file's text to a [`Snapshot`] and the settings of the process, or to everything that is wrong with it.
//!
//! | module | answers |
//! | --- | --- |
//! | `reader` | typed values out of TOML tables |
//! | `report` | where errors and warnings go |
//! | `values` | names, durations, addresses |
//! | `sites` | addresses that exclude each other |
//! | `server`, `secrets`, `proxy`, `target_group`, `tls` | one table of the file each |
//! | `session_rules` | what the sessions of a target group may share |
//!
//! Keys and limits are RDS's where RDS has them; relative paths start at the file's own directory.

pub mod error;
mod proxy;
pub(crate) mod proxy_defaults;
pub(crate) mod reader;
pub(crate) mod report;
mod secrets;
mod server;
mod session_rules;
mod sites;
mod target_group;
pub(crate) mod tls;
pub(crate) mod values;

pub use server::{Driver, LogFormat, ServerConfig, SessionsAudience, WORKERS_MAX};
pub(crate) use sites::{collide, is_listener};
pub use values::duration;

use error::{ConfigError, ConfigErrors, Warning};
use forebay_core::snapshot::Snapshot;
use reader::{Table, line_of};
use report::{Place, Report};
use sites::Sites;
use std::path::Path;
use std::sync::Arc;
use toml::de::DeTable;
use zeroize::Zeroizing;

/// Looks up an environment variable; the caller's, so that tests need not change the process.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a configuration file says.
#[derive(Debug)]
pub struct Loaded {
    /// Settings of the process itself.
    pub server: ServerConfig,
    /// What the workers run on.
    pub snapshot: Snapshot,
    /// What is allowed but should be looked at.
    pub warnings: Vec<Warning>,
}

/// Reads and checks a file. `generation` becomes the snapshot's.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub fn load(
    path: &Path,
    generation: u64,
    environment: Environment<'_>,
) -> Result<Loaded, ConfigErrors> {
    let source = path.display().to_string();
    let whole = |fix: String| ConfigError {
        source: Arc::from(source.as_str()),
        line: None,
        key: String::new(),
        value: None,
        fix,
    };
    let file = crate::files::read(path).map_err(whole)?;
    let text = std::str::from_utf8(&file.bytes).map(|text| Zeroizing::new(text.to_owned()));
    let text = text.map_err(|_| whole("is not a text file in UTF-8".to_owned()))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let report = Report::new(&source, directory, file.world_readable);
    parse(&text, report, generation, environment)
}

/// Checks the text of a file.
fn parse(
    text: &str,
    report: Report,
    generation: u64,
    environment: Environment<'_>,
) -> Result<Loaded, ConfigErrors> {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => return Err(not_toml(text, report, &error)),
    };
    let root = Table::root(&report, text, document.get_ref());
    root.allow(&["server", "secrets", "proxies"]);
    let server = server::read(&root);
    let secrets = secrets::read(&root, environment);
    let mut sites = Sites::new(server.metrics);
    let proxies = proxy::read_all(&root, &secrets, &mut sites);
    sites.finish(&report);
    let snapshot = Snapshot {
        generation,
        proxies,
    };
    let ((server, snapshot), warnings) = report.finish((server, snapshot))?;
    Ok(Loaded {
        server,
        snapshot,
        warnings,
    })
}

/// The parser's message without its excerpt of the file: the line may hold a password.
fn not_toml(text: &str, report: Report, error: &toml::de::Error) -> ConfigErrors {
    let place = Place {
        key: String::new(),
        line: error.span().map(|span| line_of(text, span.start)),
    };
    report.error(&place, None, format!("not TOML: {}", error.message()));
    report.into_errors()
}

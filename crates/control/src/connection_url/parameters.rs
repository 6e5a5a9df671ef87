//! The parameters behind the `?` of a connection URL: libpq's names and meanings, as far as they concern the way to the database.

use super::{percent, place};
use crate::certificates;
use crate::config::report::Report;
use crate::config::tls::{MODES, ignores_authority, mode_with_authority};
use forebay_core::snapshot::{Identity, TargetTls, TlsMode};
use std::path::Path;

/// Parameters of libpq that say something about one client's session or one connection attempt: clients give their own.
const IGNORED: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// The values of the parameters we obey.
#[derive(Default)]
struct Given {
    mode: Option<TlsMode>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

/// The way to the database that `query` asks for.
pub(super) fn read(query: &str, report: &Report) -> TargetTls {
    let mut given = Given::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match percent::decode(value) {
            Some(value) => given.take(name, value, report),
            None => report.error(&place("a parameter"), None, "not percent-encoded UTF-8"),
        }
    }
    let (mode, authorities) = given.verification(report);
    TargetTls {
        mode,
        authorities,
        identity: given.identity(report),
    }
}

impl Given {
    fn take(&mut self, name: &str, value: String, report: &Report) {
        match name {
            "sslmode" => self.mode = mode(&value, report),
            // The options of MySQL's own tools.
            "ssl-mode" => self.mode = mysql_mode(&value, report),
            "sslrootcert" | "ssl-ca" => self.root = Some(value),
            "sslcert" | "ssl-cert" => self.certificate = Some(value),
            "sslkey" | "ssl-key" => self.key = Some(value),
            ignored if IGNORED.contains(&ignored) => {
                report.warning(&place(name), "is ignored: clients give their own");
            }
            _ => {
                // What is no name may be a piece of a password with a bare ? in it.
                let is_name = name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
                let name = if is_name { name } else { "a parameter" };
                let fix = "not supported; known are sslmode, sslrootcert, sslcert, sslkey (and MySQL's ssl-mode, ssl-ca, ssl-cert, ssl-key)";
                report.error(&place(name), None, fix);
            }
        }
    }

    /// Mode and authorities. `sslrootcert=system` means the system's authorities, and only makes sense with `verify-full`.
    fn verification(&self, report: &Report) -> (TlsMode, Vec<Vec<u8>>) {
        let Some(root) = &self.root else {
            return (self.mode.unwrap_or_default(), Vec::new());
        };
        if root == "system" {
            if self.mode.is_some_and(|mode| mode != TlsMode::VerifyFull) {
                let fix = "system needs sslmode=verify-full (any weaker check would prove nothing)";
                report.error(&place("sslrootcert"), None, fix);
            }
            return (TlsMode::VerifyFull, Vec::new());
        }
        let mode = mode_with_authority(self.mode.unwrap_or_default());
        if ignores_authority(mode) {
            let text = "is not used: only sslmode verify-ca and verify-full (and require, which then means verify-ca) look at it";
            report.warning(&place("sslrootcert"), text);
        }
        match certificates::authorities(Path::new(root)) {
            Ok(authorities) => (mode, authorities),
            Err(fix) => {
                report.error(&place("sslrootcert"), None, fix);
                (mode, Vec::new())
            }
        }
    }

    fn identity(&self, report: &Report) -> Option<Identity> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return None,
            (Some(_), None) => {
                report.error(&place("sslcert"), None, "needs sslkey as well");
                return None;
            }
            (None, Some(_)) => {
                report.error(&place("sslkey"), None, "needs sslcert as well");
                return None;
            }
        };
        match certificates::identity(Path::new(certificate), Path::new(key)) {
            Ok(loaded) => {
                if loaded.key_world_readable {
                    let text = format!("every user of this machine may read {key}: chmod 600");
                    report.warning(&place("sslkey"), text);
                }
                Some(loaded.identity)
            }
            Err(fix) => {
                report.error(&place("sslcert"), None, fix);
                None
            }
        }
    }
}

/// The words of MySQL's `--ssl-mode` (MySQL documentation, "Command Options for Encrypted Connections").
const MYSQL_MODES: [(&str, TlsMode); 5] = [
    ("disabled", TlsMode::Disable),
    ("preferred", TlsMode::Prefer),
    ("required", TlsMode::Require),
    ("verify_ca", TlsMode::VerifyCa),
    ("verify_identity", TlsMode::VerifyFull),
];

fn mysql_mode(value: &str, report: &Report) -> Option<TlsMode> {
    let word = value.to_ascii_lowercase();
    let found = MYSQL_MODES.iter().find(|(known, _)| *known == word);
    if found.is_none() {
        let fix = "must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY";
        report.error(&place("ssl-mode"), Some(format!("{value:?}")), fix);
    }
    found.map(|(_, mode)| *mode)
}

fn mode(value: &str, report: &Report) -> Option<TlsMode> {
    let found = MODES.iter().find(|(word, _)| *word == value);
    if found.is_none() {
        let fix = "must be disable, prefer, require, verify-ca or verify-full";
        report.error(&place("sslmode"), Some(format!("{value:?}")), fix);
    }
    found.map(|(_, mode)| *mode)
}

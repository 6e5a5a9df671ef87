//! TLS tables: what a proxy shows to its clients (`proxies[].tls`) and how it goes to a database (`targets[].tls`).
//!
//! The mode words and meanings are libpq's, with its rule that `require` with an authority means `verify-ca`.

use super::reader::{Field, Table};
use crate::certificates;
use forebay_core::snapshot::{Identity, ServerTls, TargetTls, TlsMode};
use std::sync::Arc;

/// libpq's words.
pub(crate) const MODES: [(&str, TlsMode); 5] = [
    ("disable", TlsMode::Disable),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

/// What `mode` means when an authority is given with it.
pub(crate) fn mode_with_authority(mode: TlsMode) -> TlsMode {
    match mode {
        TlsMode::Require => TlsMode::VerifyCa,
        other => other,
    }
}

/// Whether `mode` looks at authorities at all.
pub(crate) fn ignores_authority(mode: TlsMode) -> bool {
    matches!(mode, TlsMode::Disable | TlsMode::Prefer)
}

/// A proxy's own certificate.
pub(super) fn read_server(proxy: &Table<'_>) -> Option<Arc<ServerTls>> {
    let table = proxy.table("tls")?;
    table.allow(&["certificate", "private_key", "client_ca"]);
    let client_authorities = authorities(&table, "client_ca").map_or(Vec::new(), |(ders, _)| ders);
    let certificate = table.text_required("certificate", "a PEM file with the proxy's certificate");
    let key = table.text_required("private_key", "a PEM file with the certificate's key");
    let identity = identity(&table, certificate, key)?;
    Some(Arc::new(ServerTls {
        identity,
        client_authorities,
    }))
}

/// The way to a database.
pub(super) fn read_target(target: &Table<'_>) -> TargetTls {
    let Some(table) = target.table("tls") else {
        return TargetTls::default();
    };
    table.allow(&["mode", "ca", "certificate", "private_key"]);
    let mut mode = table.choice("mode", &MODES, TlsMode::default());
    let mut authority_ders = Vec::new();
    if let Some((ders, field)) = authorities(&table, "ca") {
        mode = mode_with_authority(mode);
        authority_ders = ders;
        if ignores_authority(mode) {
            let text = "is not used: only verify-ca and verify-full (and require, which then means verify-ca) look at it";
            table.report.warning(&field.place, text);
        }
    }
    if mode == TlsMode::Disable
        && let Some(field) = table.field("certificate")
    {
        let text = "is not used: mode = \"disable\" speaks no TLS";
        table.report.warning(&field.place, text);
    }
    TargetTls {
        mode,
        authorities: authority_ders,
        identity: target_identity(&table),
    }
}

/// Certificate and key are given both or not at all.
fn target_identity(table: &Table<'_>) -> Option<Identity> {
    let certificate = table.text("certificate");
    let key = table.text("private_key");
    match (&certificate, &key) {
        (Some(_), None) => table.missing("private_key", "the key of the certificate"),
        (None, Some(_)) => table.missing("certificate", "the certificate of the key"),
        _ => {}
    }
    identity(table, certificate, key)
}

fn authorities<'r>(table: &Table<'r>, key: &str) -> Option<(Vec<Vec<u8>>, Field<'r>)> {
    let (name, field) = table.text(key)?;
    match certificates::authorities(&table.report.path(name)) {
        Ok(ders) => Some((ders, field)),
        Err(fix) => {
            table.wrong(&field, fix);
            None
        }
    }
}

fn identity(
    table: &Table<'_>,
    certificate: Option<(&str, Field<'_>)>,
    key: Option<(&str, Field<'_>)>,
) -> Option<Identity> {
    let ((certificate, _), (key, key_field)) = (certificate?, key?);
    let report = table.report;
    let (certificate, key) = (report.path(certificate), report.path(key));
    match certificates::identity(&certificate, &key) {
        Ok(loaded) => {
            if loaded.key_world_readable {
                let text = format!(
                    "every user of this machine may read {}: chmod 600",
                    key.display()
                );
                report.warning(&key_field.place, text);
            }
            Some(loaded.identity)
        }
        Err(fix) => {
            report.error(&table.place, None, fix);
            None
        }
    }
}

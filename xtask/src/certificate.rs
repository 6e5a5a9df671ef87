//! A certificate for tests: self-signed, for 127.0.0.1 and localhost, made by the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{install, process};

/// Where a certificate and its key lie.
pub struct Certificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM, unencrypted, mode 0600.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one in `folder`.
    pub fn make(folder: &Path) -> Result<Certificate> {
        let openssl = install::program("openssl", "openssl")?;
        let made = Certificate {
            certificate: folder.join("server.crt"),
            key: folder.join("server.key"),
        };
        let mut command = Command::new(openssl);
        command
            .args([
                "req",
                "-x509",
                "-nodes",
                "-days",
                "30",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=IP:127.0.0.1,DNS:localhost",
            ])
            .arg("-out")
            .arg(&made.certificate)
            .arg("-keyout")
            .arg(&made.key);
        process::capture(&mut command)?;
        Ok(made)
    }
}

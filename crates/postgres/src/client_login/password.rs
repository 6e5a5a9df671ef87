//! The states that wait for a PasswordMessage: an answer to an MD5 challenge, or the password itself.

use super::startup::Startup;
use super::wrong_password;
use crate::md5_password::Md5Hash;
use crate::scram::password_bytes;
use aws_lc_rs::digest::{SHA256, digest};
use forebay_core::Refusal;
use forebay_core::snapshot::Credential;
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// The challenge is sent.
pub(super) struct ExpectMd5 {
    pub(super) startup: Box<Startup>,
    pub(super) credential: Arc<Credential>,
    pub(super) salt: [u8; 4],
}

/// The password itself was asked for, under TLS.
pub(super) struct ExpectClear {
    pub(super) startup: Box<Startup>,
    pub(super) credential: Arc<Credential>,
}

impl ExpectMd5 {
    pub(super) fn on_password(self, body: &[u8]) -> Result<Box<Startup>, Refusal> {
        let response = password_of(body)?;
        proven(self.startup, &self.credential, |version| {
            let password = version.password.expose_secret();
            Md5Hash::of(&version.username, password).verify_response(response, self.salt)
        })
    }
}

impl ExpectClear {
    /// Both passwords are prepared as for SCRAM, so that spellings which SCRAM takes for equal are equal here, too. Digests are
    /// compared instead of passwords because their comparison does not depend on a length.
    pub(super) fn on_password(self, body: &[u8]) -> Result<Box<Startup>, Refusal> {
        let digest_of = |password: &[u8]| digest(&SHA256, &password_bytes(password));
        let theirs = digest_of(password_of(body)?);
        proven(self.startup, &self.credential, |version| {
            let ours = digest_of(version.password.expose_secret().as_bytes());
            ours.as_ref().ct_eq(theirs.as_ref()).into()
        })
    }
}

/// The startup message of a client that has proven one of the passwords.
fn proven(
    mut startup: Box<Startup>,
    credential: &Arc<Credential>,
    is_right: impl Fn(&Credential) -> bool,
) -> Result<Box<Startup>, Refusal> {
    match credential.versions().position(|version| is_right(version)) {
        Some(version) => {
            startup.is_previous = version > 0;
            Ok(startup)
        }
        None => Err(wrong_password(&startup)),
    }
}

/// The text of a PasswordMessage, which its terminating zero must end.
fn password_of(body: &[u8]) -> Result<&[u8], Refusal> {
    match body.split_last() {
        Some((0, password)) if !password.contains(&0) => Ok(password),
        _ => Err(Refusal::ProtocolViolation("invalid password packet size")),
    }
}

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
        let password = self.credential.password.expose_secret();
        let hash = Md5Hash::of(&self.credential.username, password);
        match hash.verify_response(password_of(body)?, self.salt) {
            true => Ok(self.startup),
            false => Err(wrong_password(&self.startup)),
        }
    }
}

impl ExpectClear {
    /// Both passwords are prepared as for SCRAM, so that spellings which SCRAM takes for equal are equal here, too. Digests are
    /// compared instead of passwords because their comparison does not depend on a length.
    pub(super) fn on_password(self, body: &[u8]) -> Result<Box<Startup>, Refusal> {
        let digest_of = |password: &[u8]| digest(&SHA256, &password_bytes(password));
        let ours = digest_of(self.credential.password.expose_secret().as_bytes());
        let theirs = digest_of(password_of(body)?);
        match bool::from(ours.as_ref().ct_eq(theirs.as_ref())) {
            true => Ok(self.startup),
            false => Err(wrong_password(&self.startup)),
        }
    }
}

/// The text of a PasswordMessage, which its terminating zero must end.
fn password_of(body: &[u8]) -> Result<&[u8], Refusal> {
    match body.split_last() {
        Some((0, password)) if !password.contains(&0) => Ok(password),
        _ => Err(Refusal::ProtocolViolation("invalid password packet size")),
    }
}

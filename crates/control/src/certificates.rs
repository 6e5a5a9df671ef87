//! Certificates and keys: DER from PEM files, and whether they belong together.
//!
//! Errors are clauses that name the file, so that configuration and command line can put their own key in front. A key's bytes never get
//! into one: of the PEM decoder's own words only the harmless ones are kept.

use crate::files;
use forebay_core::snapshot::Identity;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// An identity, and whether every user of this machine may read its key.
pub(crate) struct LoadedIdentity {
    pub(crate) identity: Identity,
    pub(crate) key_world_readable: bool,
}

/// The certificates of a PEM file; at least one.
pub(crate) fn chain(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let file = files::read(path)?;
    let certificates: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(&file.bytes).collect();
    let certificates = certificates.map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate in PEM", path.display()));
    }
    Ok(certificates.into_iter().map(|der| der.to_vec()).collect())
}

/// The certificate authorities of a PEM file; at least one, each of which can be parsed.
pub(crate) fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let certificates = chain(path)?;
    let mut store = RootCertStore::empty();
    for (index, der) in certificates.iter().enumerate() {
        store.add(CertificateDer::from_slice(der)).map_err(|_| {
            let number = index + 1;
            format!("certificate {number} of {} is malformed", path.display())
        })?;
    }
    Ok(certificates)
}

/// A certificate chain with its private key, checked to belong together.
pub(crate) fn identity(certificate: &Path, key: &Path) -> Result<LoadedIdentity, String> {
    let chain = chain(certificate)?;
    let file = files::read(key)?;
    let der = PrivateKeyDer::from_pem_slice(&file.bytes).map_err(|error| unusable(key, &error))?;
    let identity = Identity {
        chain,
        key: Zeroizing::new(der.secret_der().to_vec()),
    };
    check(&identity, der, certificate, key)?;
    Ok(LoadedIdentity {
        identity,
        key_world_readable: file.world_readable,
    })
}

/// Not by `CertifiedKey::from_der`: that needs version 3 certificates, and many a server has one of version 1, because
/// `openssl x509 -req` long made no other without extensions.
fn check(
    identity: &Identity,
    key_der: PrivateKeyDer<'static>,
    certificate: &Path,
    key: &Path,
) -> Result<(), String> {
    let leaf = identity.chain.first().map_or(&[][..], Vec::as_slice);
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|_| format!("the certificate in {} is malformed", certificate.display()))?;
    let signing = default_provider().key_provider.load_private_key(key_der);
    let signing =
        signing.map_err(|_| format!("the key in {} is of no known kind", key.display()))?;
    match signing.public_key() {
        Some(public) if public.as_ref() != leaf.public_key().raw => Err(format!(
            "the key in {} does not belong to the certificate in {}",
            key.display(),
            certificate.display()
        )),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &pem::Error) -> String {
    let what = match error {
        pem::Error::NoItemsFound => {
            "holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)"
        }
        pem::Error::MissingSectionEnd { .. } => "is not whole: an END line is missing",
        _ => "is not well-formed PEM",
    };
    format!("{} {what}", path.display())
}

//! Channel binding data of type `tls-server-end-point`: which bytes of a certificate tie a login to the connection it runs in.
//!
//! RFC 5929, chapter 4.1: the hash of the server's certificate (DER), by the hash of the certificate's own signature algorithm;
//! MD5 and SHA-1 become SHA-256; undefined for algorithms without a hash of their own (Ed25519, Ed448) or with several.

use aws_lc_rs::digest::{self, Algorithm};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

/// The data for a certificate, 28 to 64 bytes; `None` where the specification defines none, or for what is no certificate.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = hash_of(&parsed.signature_algorithm)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

fn hash_of(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    match signature.algorithm.to_id_string().as_str() {
        // RSA (RFC 8017, RFC 4055): with MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.14" => Some(&digest::SHA224),
        "1.2.840.113549.1.1.11" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.12" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" => Some(&digest::SHA512),
        "1.2.840.113549.1.1.10" => hash_of_pss(signature),
        // ECDSA (RFC 5758): with SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
        "1.2.840.10045.4.1" => Some(&digest::SHA256),
        "1.2.840.10045.4.3.1" => Some(&digest::SHA224),
        "1.2.840.10045.4.3.2" => Some(&digest::SHA256),
        "1.2.840.10045.4.3.3" => Some(&digest::SHA384),
        "1.2.840.10045.4.3.4" => Some(&digest::SHA512),
        // DSA (RFC 3279, RFC 5758): with SHA-1, SHA-224, SHA-256.
        "1.2.840.10040.4.3" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.3.1" => Some(&digest::SHA224),
        "2.16.840.1.101.3.4.3.2" => Some(&digest::SHA256),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in its parameters (RFC 4055, chapter 3.1); without parameters it is SHA-1.
fn hash_of_pss(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    let SignatureAlgorithm::RSASSA_PSS(parameters) =
        SignatureAlgorithm::try_from(signature).ok()?
    else {
        return None;
    };
    match parameters.hash_algorithm_oid().to_id_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.2.4" => Some(&digest::SHA224),
        "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}

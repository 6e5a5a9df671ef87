//! Channel binding data: the same on both sides, by the hash of the certificate's own signature.

use crate::certificates::{Authority, Kind, server_params, server_tls, target_tls};
use crate::ends::{End, settle};
use aws_lc_rs::digest::{self, Algorithm};
use forebay_core::snapshot::TlsMode;
use forebay_dataplane::tls::{ClientSettings, ServerSettings, server_end_point};

#[test]
fn both_sides_agree_on_the_data_of_every_kind_of_certificate() {
    let table: [(Kind, Option<&'static Algorithm>); 4] = [
        (Kind::RsaSha256, Some(&digest::SHA256)),
        (Kind::EcdsaSha256, Some(&digest::SHA256)),
        (Kind::EcdsaSha384, Some(&digest::SHA384)),
        (Kind::Ed25519, None),
    ];
    for (kind, hash) in table {
        let authority = Authority::of("authority", kind);
        let identity = authority.issue_with(server_params("db.test"), kind.key());
        let expected = hash.map(|hash| digest::digest(hash, &identity.chain[0]).as_ref().to_vec());
        let server = ServerSettings::new(&server_tls(identity)).unwrap();
        let target = target_tls(TlsMode::VerifyFull, &[&authority]);
        let client = ClientSettings::new(&target, "db.test").unwrap();
        let (mut client, mut server) = (End::client(&client), End::server(&server));
        settle(&mut client, &mut server);
        assert_eq!(
            client.facts.expect("done").server_end_point,
            expected,
            "{kind:?}"
        );
        assert_eq!(
            server.facts.expect("done").server_end_point,
            expected,
            "{kind:?}"
        );
    }
}

/// A certificate signed with the algorithm of `from`, relabelled as `to`: its signature is wrong, but only the label counts here.
fn relabelled(from: &[u8], to: &[u8]) -> Vec<u8> {
    let authority = Authority::of("authority", Kind::RsaSha256);
    let mut der = authority.server("db.test").chain.remove(0);
    let places: Vec<usize> = (0..der.len() - from.len())
        .filter(|at| der[*at..].starts_with(from))
        .collect();
    assert_eq!(places.len(), 2, "inside and outside of what is signed");
    for at in places {
        der[at..at + to.len()].copy_from_slice(to);
    }
    der
}

#[test]
fn the_signature_names_the_hash_and_weak_ones_become_sha_256() {
    // 1.2.840.113549.1.1.x, of which x is the last byte.
    let prefix = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    let sha256_with_rsa = [&prefix[..], &[11]].concat();
    let table: [(u8, Option<&'static Algorithm>); 8] = [
        (4, Some(&digest::SHA256)),
        (5, Some(&digest::SHA256)),
        (11, Some(&digest::SHA256)),
        (12, Some(&digest::SHA384)),
        (13, Some(&digest::SHA512)),
        (14, Some(&digest::SHA224)),
        // RSASSA-PSS whose parameters are not the sequence they must be.
        (10, None),
        (99, None),
    ];
    for (last, hash) in table {
        let der = relabelled(&sha256_with_rsa, &[&prefix[..], &[last]].concat());
        let expected = hash.map(|hash| digest::digest(hash, &der).as_ref().to_vec());
        assert_eq!(
            server_end_point(&der),
            expected,
            "1.2.840.113549.1.1.{last}"
        );
    }
}

#[test]
fn what_is_no_certificate_has_no_data() {
    assert_eq!(server_end_point(b""), None);
    assert_eq!(server_end_point(b"not a certificate"), None);
    let der = Authority::new("authority").der();
    for len in 0..der.len() {
        assert_eq!(server_end_point(&der[..len]), None);
    }
}

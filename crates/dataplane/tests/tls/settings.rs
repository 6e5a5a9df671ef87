//! Settings from the snapshot: what is refused, what it is called, and that no key shows.

use crate::certificates::{Authority, Kind, copy, server_params, server_tls, target_tls};
use crate::ends::{End, TLS13, settle, their_client_config};
use forebay_core::snapshot::{Identity, ServerTls, TargetTls, TlsMode};
use forebay_dataplane::tls::{ClientSettings, ServerSettings, TlsError};
use zeroize::Zeroizing;

fn refused(identity: Identity) -> TlsError {
    let as_client = TargetTls {
        mode: TlsMode::Require,
        authorities: Vec::new(),
        identity: Some(copy(&identity)),
    };
    let error = ServerSettings::new(&server_tls(identity)).unwrap_err();
    assert_eq!(
        ClientSettings::new(&as_client, "db.test").unwrap_err(),
        error
    );
    assert!(error.is_configuration());
    error
}

#[test]
fn a_certificate_or_key_that_cannot_be_used_is_named() {
    let authority = Authority::new("authority");
    let good = || authority.server("proxy.test");
    let with_key = |key: &[u8]| Identity {
        key: Zeroizing::new(key.to_vec()),
        ..good()
    };
    let with_chain = |chain: Vec<Vec<u8>>| Identity { chain, ..good() };
    assert_eq!(refused(with_chain(Vec::new())), TlsError::Certificate);
    assert_eq!(
        refused(with_chain(vec![b"nonsense".to_vec()])),
        TlsError::Certificate
    );
    assert_eq!(refused(with_key(b"")), TlsError::Key);
    assert_eq!(refused(with_key(b"nonsense")), TlsError::Key);
    let truncated = &good().key[..40];
    assert_eq!(refused(with_key(truncated)), TlsError::Key);
    assert_eq!(refused(with_key(&good().key)), TlsError::KeyMismatch);
}

#[test]
fn every_kind_of_key_is_taken() {
    for kind in [
        Kind::RsaSha256,
        Kind::EcdsaSha256,
        Kind::EcdsaSha384,
        Kind::Ed25519,
    ] {
        let authority = Authority::of("authority", kind);
        let identity = authority.issue_with(server_params("proxy.test"), kind.key());
        ServerSettings::new(&server_tls(identity)).unwrap();
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_counted() {
    let authority = Authority::new("authority");
    let authorities = vec![authority.der(), b"nonsense".to_vec()];
    let server = ServerTls {
        identity: authority.server("proxy.test"),
        client_authorities: authorities.clone(),
    };
    assert_eq!(
        ServerSettings::new(&server).unwrap_err(),
        TlsError::Authority(1)
    );
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let target = TargetTls {
            mode,
            authorities: authorities.clone(),
            identity: None,
        };
        assert_eq!(
            ClientSettings::new(&target, "db.test").unwrap_err(),
            TlsError::Authority(1)
        );
    }
}

#[test]
fn new_settings_are_for_new_connections() {
    let authority = Authority::new("authority");
    let connect = |settings: &ServerSettings| {
        let config = their_client_config(TLS13, &authority, &[]);
        let mut client = End::their_client(config, "proxy.test");
        let mut server = End::server(settings);
        settle(&mut client, &mut server);
        assert!(server.facts.is_some());
        (client, server)
    };
    let first = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    let (mut old_client, mut old_server) = connect(&first);
    let second = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    drop(first);
    let (mut new_client, _) = connect(&second);
    assert_ne!(
        old_client.theirs().peer_certificates(),
        new_client.theirs().peer_certificates()
    );
    old_client.send(b"still here");
    settle(&mut old_client, &mut old_server);
    assert_eq!(old_server.plain, b"still here");
}

#[test]
fn what_is_shown_of_settings_and_errors_holds_no_key() {
    let authority = Authority::new("authority");
    let identity = authority.server("proxy.test");
    let key = format!("{:?}", identity.key.as_slice());
    let settings = ServerSettings::new(&server_tls(identity)).unwrap();
    let target = target_tls(TlsMode::VerifyFull, &[&authority]);
    let client = ClientSettings::new(&target, "proxy.test").unwrap();
    for shown in [
        format!("{settings:?}"),
        format!("{client:?}"),
        format!("{:?}", End::server(&settings).filter()),
    ] {
        assert!(
            !shown.contains(&key[1..key.len() - 1]) && shown.len() < 200,
            "{shown}"
        );
    }
    let errors = [TlsError::Key, TlsError::KeyMismatch, TlsError::Authority(3)];
    for error in errors {
        assert!(error.to_string().len() > 20);
    }
}

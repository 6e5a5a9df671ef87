//! Handshakes of both versions and both sides, cut anywhere; ALPN; sessions resumed.

use crate::certificates::{Authority, server_tls, target_tls};
use crate::ends::{
    End, Failure, TLS12, TLS13, Versions, exchange, settle, their_client_config, their_client_with,
    their_server_config,
};
use forebay_core::snapshot::{ServerTls, TlsMode};
use forebay_dataplane::tls::{ClientSettings, ServerSettings, TlsError};
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};

struct Fixture {
    authority: Authority,
    server: ServerSettings,
    client: ClientSettings,
}

fn fixture() -> Fixture {
    let authority = Authority::new("authority");
    let server = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    let target = target_tls(TlsMode::VerifyFull, &[&authority]);
    let client = ClientSettings::new(&target, "proxy.test").unwrap();
    Fixture {
        authority,
        server,
        client,
    }
}

fn versions() -> [(Versions, ProtocolVersion); 2] {
    [
        (TLS12, ProtocolVersion::TLSv1_2),
        (TLS13, ProtocolVersion::TLSv1_3),
    ]
}

fn assert_talk(client: &mut End, server: &mut End) {
    client.send(b"select 1");
    server.send(b"1 row");
    settle(client, server);
    assert_eq!(server.plain, b"select 1");
    assert_eq!(client.plain, b"1 row");
}

#[test]
fn our_two_sides_understand_each_other() {
    let fixture = fixture();
    let (mut client, mut server) = (End::client(&fixture.client), End::server(&fixture.server));
    settle(&mut client, &mut server);
    for end in [&mut client, &mut server] {
        let facts = end.facts.as_ref().expect("the handshake is done");
        assert_eq!(facts.alpn.as_deref(), Some(&b"postgresql"[..]));
        assert!(!facts.client_certificate);
        assert!(end.filter().is_open());
    }
    assert_talk(&mut client, &mut server);
}

#[test]
fn clients_of_both_versions_are_served_however_their_bytes_come() {
    let fixture = fixture();
    for (versions, expected) in versions() {
        for cut in [1, 2, 5, 100, usize::MAX] {
            let config = their_client_config(versions, &fixture.authority, &["postgresql"]);
            let mut client = End::their_client(config, "proxy.test");
            let mut server = End::server(&fixture.server);
            exchange(&mut client, &mut server, cut);
            assert_eq!((&client.error, &server.error), (&None, &None));
            assert_eq!(client.theirs().protocol_version(), Some(expected));
            assert!(server.facts.is_some());
            assert_talk(&mut client, &mut server);
        }
    }
}

#[test]
fn targets_of_both_versions_are_reached_however_their_bytes_come() {
    let fixture = fixture();
    let identity = fixture.authority.server("proxy.test");
    for (versions, expected) in versions() {
        for cut in [1, 2, 5, 100, usize::MAX] {
            let config = their_server_config(versions, &identity, &["postgresql"]);
            let mut server = End::their_server(config);
            let mut client = End::client(&fixture.client);
            exchange(&mut client, &mut server, cut);
            assert_eq!((&client.error, &server.error), (&None, &None));
            assert_eq!(server.theirs().protocol_version(), Some(expected));
            assert_eq!(server.theirs().peer_certificates(), None);
            assert!(client.facts.is_some());
            assert_talk(&mut client, &mut server);
        }
    }
}

/// Like `exchange` in one piece, but the stream towards `server` is cut once, after `at` bytes.
fn exchange_cut_at(client: &mut End, server: &mut End, at: usize) -> usize {
    let mut sent = 0;
    while !client.wire.is_empty() || !server.wire.is_empty() {
        let bytes = std::mem::take(&mut client.wire);
        let cut = at.saturating_sub(sent).min(bytes.len());
        sent += bytes.len();
        server.take(&bytes[..cut]);
        server.take(&bytes[cut..]);
        client.take(&std::mem::take(&mut server.wire));
    }
    sent
}

#[test]
fn a_handshake_may_be_cut_in_two_at_every_byte() {
    let fixture = fixture();
    for (versions, _) in versions() {
        let connect = |at| {
            let config = their_client_config(versions, &fixture.authority, &["postgresql"]);
            let mut client = End::their_client(config, "proxy.test");
            let mut server = End::server(&fixture.server);
            let sent = exchange_cut_at(&mut client, &mut server, at);
            assert_eq!(
                (&client.error, &server.error),
                (&None, &None),
                "cut at {at}"
            );
            assert_talk(&mut client, &mut server);
            sent
        };
        for at in 0..=connect(0) {
            connect(at);
        }
    }
}

#[test]
fn plaintext_that_comes_with_the_last_handshake_message_is_not_lost() {
    let fixture = fixture();
    for (versions, _) in versions() {
        let config = their_client_config(versions, &fixture.authority, &["postgresql"]);
        let mut client = End::their_client(config, "proxy.test");
        let mut server = End::server(&fixture.server);
        while client.theirs().is_handshaking() {
            server.take(&std::mem::take(&mut client.wire));
            client.take(&std::mem::take(&mut server.wire));
        }
        client.send(b"startup");
        let bytes = std::mem::take(&mut client.wire);
        server.take(&bytes);
        assert!(server.facts.is_some());
        assert_eq!(server.plain, b"startup");
    }
}

#[test]
fn a_client_is_served_when_it_offers_our_protocol_or_none() {
    let fixture = fixture();
    let table: [(&[&str], Option<&[u8]>); 3] = [
        (&[], None),
        (&["postgresql"], Some(b"postgresql")),
        (&["h2", "postgresql"], Some(b"postgresql")),
    ];
    for (versions, _) in versions() {
        for (offered, agreed) in table {
            let config = their_client_config(versions, &fixture.authority, offered);
            let mut client = End::their_client(config, "proxy.test");
            let mut server = End::server(&fixture.server);
            settle(&mut client, &mut server);
            let facts = server.facts.as_ref().expect("the handshake is done");
            assert_eq!(facts.alpn.as_deref(), agreed);
            assert_eq!(client.theirs().alpn_protocol(), agreed);
        }
    }
}

#[test]
fn a_client_that_offers_only_other_protocols_is_refused_with_the_alert_made_for_it() {
    let fixture = fixture();
    for (versions, _) in versions() {
        let config = their_client_config(versions, &fixture.authority, &["h2", "http/1.1"]);
        let mut client = End::their_client(config, "proxy.test");
        let mut server = End::server(&fixture.server);
        settle(&mut client, &mut server);
        assert_eq!(server.our_error(), Some(&TlsError::NoApplicationProtocol));
        let alert = AlertDescription::NoApplicationProtocol;
        assert_eq!(
            client.error,
            Some(Failure::Theirs(rustls::Error::AlertReceived(alert)))
        );
    }
}

#[test]
fn a_target_need_not_know_our_protocol_but_may_not_choose_another() {
    let fixture = fixture();
    let identity = fixture.authority.server("proxy.test");
    for (versions, _) in versions() {
        let mut server = End::their_server(their_server_config(versions, &identity, &[]));
        let mut client = End::client(&fixture.client);
        settle(&mut client, &mut server);
        assert_eq!(client.facts.as_ref().expect("done").alpn, None);

        let mut server = End::their_server(their_server_config(versions, &identity, &["h2"]));
        let mut client = End::client(&fixture.client);
        settle(&mut client, &mut server);
        let error = client.our_error().expect("refused").to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
    }
}

#[test]
fn a_target_is_told_the_name_it_is_reached_by() {
    let fixture = fixture();
    let identity = fixture.authority.server("proxy.test");
    let mut server = End::their_server(their_server_config(TLS13, &identity, &[]));
    let mut client = End::client(&fixture.client);
    settle(&mut client, &mut server);
    let rustls::Connection::Server(connection) = server.theirs() else {
        panic!("it is a server")
    };
    assert_eq!(connection.server_name(), Some("proxy.test"));
}

#[test]
fn a_session_is_resumed_within_its_settings_and_not_beyond() {
    let fixture = fixture();
    for (versions, _) in versions() {
        let config = their_client_config(versions, &fixture.authority, &["postgresql"]);
        let connect = |settings: &ServerSettings| {
            let mut client = End::their_client(config.clone(), "proxy.test");
            let mut server = End::server(settings);
            settle(&mut client, &mut server);
            assert!(
                server
                    .facts
                    .as_ref()
                    .expect("done")
                    .server_end_point
                    .is_some()
            );
            client.theirs().handshake_kind()
        };
        assert_eq!(connect(&fixture.server), Some(HandshakeKind::Full));
        assert_eq!(connect(&fixture.server), Some(HandshakeKind::Resumed));
        let reloaded =
            ServerSettings::new(&server_tls(fixture.authority.server("proxy.test"))).unwrap();
        assert_eq!(connect(&reloaded), Some(HandshakeKind::Full));
    }
}

#[test]
fn where_client_certificates_count_no_session_is_resumed() {
    let authority = Authority::new("authority");
    let settings = ServerSettings::new(&ServerTls {
        identity: authority.server("proxy.test"),
        client_authorities: vec![authority.der()],
    })
    .unwrap();
    for (versions, _) in versions() {
        let config = their_client_with(versions, &authority, &authority.client("app"));
        for _ in 0..2 {
            let mut client = End::their_client(config.clone(), "proxy.test");
            let mut server = End::server(&settings);
            settle(&mut client, &mut server);
            assert!(server.facts.as_ref().expect("done").client_certificate);
            assert_eq!(client.theirs().handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn one_session_ticket_is_sent_and_no_more() {
    let fixture = fixture();
    let config = their_client_config(TLS13, &fixture.authority, &["postgresql"]);
    let mut client = End::their_client(config, "proxy.test");
    let mut server = End::server(&fixture.server);
    settle(&mut client, &mut server);
    let rustls::Connection::Client(connection) = client.theirs() else {
        panic!("it is a client")
    };
    assert_eq!(connection.tls13_tickets_received(), 1);
}

//! Open connections: data of any size both ways, and how a connection ends.

use crate::certificates::{Authority, server_tls, target_tls};
use crate::ends::{
    End, TLS12, TLS13, Versions, exchange, settle, their_client_config, their_server_config,
};
use forebay_core::snapshot::TlsMode;
use forebay_dataplane::tls::{ClientSettings, Filter, ServerSettings, TlsError};

/// Our server with somebody else's client, and somebody else's server with our client.
fn established(versions: Versions) -> [(End, End); 2] {
    let authority = Authority::new("authority");
    let identity = authority.server("proxy.test");
    let theirs = their_server_config(versions, &identity, &["postgresql"]);
    let server = ServerSettings::new(&server_tls(identity)).unwrap();
    let target = target_tls(TlsMode::VerifyFull, &[&authority]);
    let client = ClientSettings::new(&target, "proxy.test").unwrap();
    let config = their_client_config(versions, &authority, &["postgresql"]);
    let mut pairs = [
        (
            End::server(&server),
            End::their_client(config, "proxy.test"),
        ),
        (End::client(&client), End::their_server(theirs)),
    ];
    for (ours, other) in &mut pairs {
        settle(ours, other);
        assert!(ours.facts.is_some());
    }
    pairs
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_filter_may_move_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Filter>();
    assert_send::<ServerSettings>();
    assert_send::<ClientSettings>();
}

#[test]
fn a_megabyte_goes_both_ways_whatever_the_pieces() {
    let data = pattern(1024 * 1024 + 17);
    for versions in [TLS12, TLS13] {
        for cut in [1021, 16 * 1024, 100_000, usize::MAX] {
            for (mut ours, mut other) in established(versions) {
                ours.send(&data);
                other.send(&data);
                exchange(&mut ours, &mut other, cut);
                assert!(ours.plain == data && other.plain == data, "pieces of {cut}");
            }
        }
    }
}

#[test]
fn plaintext_of_every_size_around_a_record_arrives_whole() {
    for versions in [TLS12, TLS13] {
        for (mut ours, mut other) in established(versions) {
            for len in [0, 1, 2, 255, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769] {
                let data = pattern(len);
                ours.send(&data);
                other.send(&data);
                exchange(&mut ours, &mut other, 1000);
                assert!(ours.plain == data && other.plain == data, "{len} bytes");
                ours.plain.clear();
                other.plain.clear();
            }
        }
    }
}

#[test]
fn what_is_appended_leaves_what_was_there() {
    let [(mut ours, mut other), _] = established(TLS13);
    other.send(b"question");
    let (mut plain, mut wire) = (b"before".to_vec(), b"before".to_vec());
    let bytes = std::mem::take(&mut other.wire);
    ours.filter()
        .on_wire(&bytes, &mut plain, &mut wire)
        .unwrap();
    ours.filter().on_plain(b"answer", &mut wire).unwrap();
    assert_eq!(plain, b"beforequestion");
    assert_eq!(&wire[..6], b"before");
    other.take(&wire[6..]);
    assert_eq!(other.plain, b"answer");
}

#[test]
fn sending_works_while_a_record_is_half_received() {
    for versions in [TLS12, TLS13] {
        for (mut ours, mut other) in established(versions) {
            other.send(b"question");
            let bytes = std::mem::take(&mut other.wire);
            ours.take(&bytes[..10]);
            ours.send(b"meanwhile");
            settle(&mut other, &mut ours);
            assert_eq!(other.plain, b"meanwhile");
            ours.take(&bytes[10..]);
            assert_eq!(ours.plain, b"question");
        }
    }
}

#[test]
fn new_keys_of_the_peer_are_followed_and_answered() {
    for (mut ours, mut other) in established(TLS13) {
        for _ in 0..3 {
            other.theirs().refresh_traffic_keys().unwrap();
            other.send(b"under new keys");
            settle(&mut other, &mut ours);
            ours.send(b"likewise");
            settle(&mut other, &mut ours);
        }
        assert_eq!(ours.plain, b"under new keys".repeat(3));
        assert_eq!(other.plain, b"likewise".repeat(3));
    }
}

#[test]
fn closing_is_heard_by_the_other_side() {
    for versions in [TLS12, TLS13] {
        for (mut ours, mut other) in established(versions) {
            ours.send(b"last words");
            ours.close();
            settle(&mut ours, &mut other);
            assert_eq!(other.plain, b"last words");
            assert!(other.peer_closed);
            assert_eq!(
                ours.filter().on_plain(b"more", &mut Vec::new()),
                Err(TlsError::Closed)
            );
        }
    }
}

#[test]
fn closing_twice_says_nothing_twice() {
    let [(mut ours, _), _] = established(TLS13);
    ours.close();
    let len = ours.wire.len();
    assert!(len > 0);
    ours.close();
    assert_eq!(ours.wire.len(), len);
}

#[test]
fn after_the_peer_closed_we_may_still_answer_and_hear_no_more() {
    for versions in [TLS12, TLS13] {
        for (mut ours, mut other) in established(versions) {
            other.send(b"question");
            other.close();
            other.wire.extend_from_slice(b"noise behind the end");
            let bytes = std::mem::take(&mut other.wire);
            ours.take(&bytes);
            assert_eq!(ours.plain, b"question");
            assert!(ours.peer_closed && ours.error.is_none());
            assert!(!ours.filter().is_open());
            ours.take(b"and more noise");
            assert!(ours.error.is_none());
            ours.send(b"answer");
            ours.close();
            settle(&mut ours, &mut other);
            assert_eq!(other.plain, b"answer");
        }
    }
}

#[test]
fn plaintext_before_the_handshake_is_refused() {
    let authority = Authority::new("authority");
    let settings = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    let mut filter = Filter::server(&settings).unwrap();
    let mut wire = Vec::new();
    assert_eq!(
        filter.on_plain(b"too early", &mut wire),
        Err(TlsError::NotEstablished)
    );
    assert!(wire.is_empty());
    filter.close_notify(&mut wire);
    assert!(wire.is_empty());
}

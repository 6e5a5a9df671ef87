//! What is not TLS, or TLS gone wrong: a named error, an alert, never a panic and never an unbounded buffer.

use crate::certificates::{Authority, server_tls, target_tls};
use crate::ends::{End, TLS12, TLS13, settle, their_client_config};
use forebay_core::snapshot::TlsMode;
use forebay_dataplane::tls::{
    ClientSettings, Filter, HANDSHAKE_BYTES_MAX, ServerSettings, TlsError,
};

fn server_settings() -> (Authority, ServerSettings) {
    let authority = Authority::new("authority");
    let settings = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    (authority, settings)
}

/// Numbers without order, the same in every run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

#[test]
fn what_is_not_tls_is_an_error_with_an_alert() {
    let (_, settings) = server_settings();
    let inputs: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: proxy.test\r\n\r\n",
        // A PostgreSQL startup message.
        b"\0\0\0\x13\0\x03\0\0user\0me\0\0",
        &[0; 64],
        &[0xff; 64],
    ];
    for input in inputs {
        let mut server = End::server(&settings);
        server.take(input);
        assert!(
            matches!(server.our_error(), Some(TlsError::Protocol(_))),
            "{:?}",
            server.error
        );
        assert_eq!(server.wire.first(), Some(&21), "an alert (RFC 8446, 5.1)");
        let again = server
            .filter()
            .on_wire(input, &mut Vec::new(), &mut Vec::new());
        assert_eq!(again.unwrap_err(), TlsError::Closed);
    }
}

#[test]
fn noise_is_never_taken_for_a_handshake() {
    let (authority, settings) = server_settings();
    let target = target_tls(TlsMode::VerifyFull, &[&authority]);
    let client_settings = ClientSettings::new(&target, "proxy.test").unwrap();
    for seed in 0..500 {
        let mut bytes: Vec<u8> = noise(seed).take(700).collect();
        if seed % 2 == 0 {
            // A proper record header in front gets the noise further in.
            bytes.splice(..5, [22, 3, 3, 2, 0]);
        }
        for mut end in [End::server(&settings), End::client(&client_settings)] {
            for piece in bytes.chunks(97) {
                end.take(piece);
            }
            assert!(end.facts.is_none() && end.plain.is_empty());
        }
    }
}

#[test]
fn a_handshake_with_any_byte_changed_does_not_complete() {
    let (authority, settings) = server_settings();
    for versions in [TLS12, TLS13] {
        let config = their_client_config(versions, &authority, &["postgresql"]);
        let first = End::their_client(config.clone(), "proxy.test").wire;
        // All but the record's version, which nobody looks at (RFC 8446, 5.1: legacy_record_version).
        for at in (0..first.len()).filter(|at| !(1..3).contains(at)) {
            let mut client = End::their_client(config.clone(), "proxy.test");
            let mut server = End::server(&settings);
            client.wire[at] ^= 0x41;
            settle(&mut client, &mut server);
            assert!(server.facts.is_none(), "byte {at}");
        }
    }
}

#[test]
fn a_damaged_record_ends_the_connection() {
    let (authority, settings) = server_settings();
    for versions in [TLS12, TLS13] {
        let config = their_client_config(versions, &authority, &["postgresql"]);
        let mut client = End::their_client(config, "proxy.test");
        let mut server = End::server(&settings);
        settle(&mut client, &mut server);
        client.send(b"good");
        client.send(b"damaged");
        *client.wire.last_mut().unwrap() ^= 1;
        settle(&mut client, &mut server);
        assert_eq!(server.our_error(), Some(&TlsError::Decrypt));
        assert_eq!(server.plain, b"good");
        assert!(client.error.is_some(), "the client is told");
        assert_eq!(
            server.filter().on_plain(b"more", &mut Vec::new()),
            Err(TlsError::Closed)
        );
    }
}

#[test]
fn a_record_that_claims_to_be_too_large_is_refused_at_once() {
    let (_, settings) = server_settings();
    let mut server = End::server(&settings);
    server.take(&[22, 3, 1, 0xff, 0xff]);
    assert!(server.our_error().is_some());
}

/// A handshake message of `len` bytes, in records of 16 KiB.
fn handshake_message(kind: u8, len: usize) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
    message.resize(4 + len, 0);
    let mut wire = Vec::new();
    for fragment in message.chunks(16 * 1024) {
        wire.extend_from_slice(&[22, 3, 1]);
        wire.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
        wire.extend_from_slice(fragment);
    }
    wire
}

#[test]
fn a_handshake_message_beyond_the_bound_is_refused_before_it_is_kept() {
    let (_, settings) = server_settings();
    for len in [HANDSHAKE_BYTES_MAX, 0xff_ffff] {
        let wire = handshake_message(1, len);
        let mut server = End::server(&settings);
        let mut taken = 0;
        for piece in wire.chunks(1000) {
            server.take(piece);
            taken += piece.len();
            if server.error.is_some() {
                break;
            }
        }
        assert!(server.error.is_some());
        assert!(
            taken <= HANDSHAKE_BYTES_MAX + 2000,
            "{taken} bytes were taken"
        );
    }
}

#[test]
fn empty_input_changes_nothing() {
    let (_, settings) = server_settings();
    let mut filter = Filter::server(&settings).unwrap();
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        filter.start(&mut wire);
        let progress = filter.on_wire(&[], &mut plain, &mut wire).unwrap();
        assert!(progress.handshake_done.is_none() && !progress.peer_closed);
    }
    assert!(plain.is_empty() && wire.is_empty());
}

//! Bytes from nowhere, at every stage of either login, and conversations with a byte changed: the orders make sense (which
//! `support.rs` checks), nothing panics, and nobody is let in by chance.

use crate::both::{pair, spoilt};
use crate::support::{
    End, ProxyOf, READY, authentication, backend_side, message, startup, tls_facts,
};
use forebay_core::engine::Purpose;
use forebay_core::snapshot::{ClientAuth, TlsMode};
use forebay_postgres::wire::startup::VERSION_3_0;
use forebay_postgres::wire::write;
use proptest::prelude::*;

/// Pieces of bytes, some of which look like a message of this protocol.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let noise = prop::collection::vec(any::<u8>(), 0..40);
    let typed = (
        prop::sample::select(b"pXRSKZENADTCvGQ".to_vec()),
        prop::collection::vec(any::<u8>(), 0..60),
    )
        .prop_map(|(kind, body)| message(kind, &body));
    let asked = (0_u32..14, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, data)| authentication(kind, &data));
    let packet = (
        prop::sample::select(vec![8_u32, 9, 12, 40, 10_000]),
        any::<u32>(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(len, code, body)| {
            [&len.to_be_bytes()[..], &code.to_be_bytes(), &body].concat()
        });
    prop::collection::vec(prop_oneof![noise, typed, asked, packet], 1..8)
}

fn auths() -> impl Strategy<Value = ClientAuth> {
    prop::sample::select(vec![
        ClientAuth::ScramSha256,
        ClientAuth::Md5,
        ClientAuth::ClearText,
    ])
}

proptest! {
    #[test]
    fn a_client_may_send_anything_at_any_stage(auth in auths(), stage in 0..4, tls: bool, pieces in pieces()) {
        let mut side = ProxyOf { tls, ..ProxyOf::one("u", "pencil", auth) }.side();
        if stage >= 1 {
            side.feed(write::SSL_REQUEST);
            if side.in_handshake {
                side.handshake(&tls_facts(Some(b"hash")));
            }
        }
        if stage >= 2 {
            side.feed(&startup(VERSION_3_0, &[("user", "u")]));
        }
        if stage >= 3 {
            side.feed(&message(b'p', b"SCRAM-SHA-256\0\0\0\0\x0en,,n=,r=abcdef"));
        }
        for piece in pieces {
            side.feed(&piece);
        }
        let admitted = matches!(side.end, Some(End::Admitted(_)) | Some(End::Bug(_)));
        prop_assert!(!admitted, "{:?}", side.end);
        prop_assert!(side.held.len() < 100_000);
    }

    #[test]
    fn a_database_may_send_anything_at_any_stage(stage in 0..6, pieces in pieces()) {
        let mode = if stage == 0 { TlsMode::Prefer } else { TlsMode::Disable };
        let mut side = backend_side("pencil", mode, Purpose::Pooled, "SELECT 1");
        match stage {
            2 => drop(side.feed(&authentication(10, b"SCRAM-SHA-256\0\0"))),
            3 => drop(side.feed(&authentication(5, b"salt"))),
            4 => drop(side.feed(write::AUTHENTICATION_OK)),
            5 => drop(side.feed(write::AUTHENTICATION_OK).feed(READY)),
            _ => {}
        }
        for piece in pieces {
            side.feed(&piece);
        }
        let ready = matches!(side.end, Some(End::Ready { .. }) | Some(End::Bug(_)));
        prop_assert!(!ready, "{:?}", side.end);
    }

    #[test]
    fn a_changed_byte_never_makes_a_bug(auth in auths(), tls: bool, at in 0_usize..900, mask in 1..=255_u8) {
        let mode = if tls { TlsMode::Require } else { TlsMode::Disable };
        let mut pair = spoilt(auth, mode, (at, mask));
        pair.run();
        for end in [&pair.client.end, &pair.backend.end] {
            prop_assert!(!matches!(end, Some(End::Bug(_))), "{end:?}");
        }
    }
}

/// The flights are: request for TLS, its answer, startup message, offer, first message, its answer, proof, and what follows.
#[test]
fn every_byte_of_a_scram_exchange_counts() {
    let mut whole = pair(ClientAuth::ScramSha256, "pencil", TlsMode::Require);
    whole.run();
    assert!(matches!(whole.client.end, Some(End::Admitted(_))));
    for at in whole.flights[4]..whole.flights[7] {
        let mut pair = spoilt(ClientAuth::ScramSha256, TlsMode::Require, (at, 1));
        pair.run();
        assert!(
            !matches!(pair.client.end, Some(End::Admitted(_))),
            "byte {at}"
        );
        assert!(
            !matches!(pair.backend.end, Some(End::Ready { .. })),
            "byte {at}"
        );
    }
}

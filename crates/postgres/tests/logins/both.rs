//! The two machines log in to each other: the backend's login is the client of the client's login. What a server says after a login is
//! added here. Each way of authentication, with and without TLS, cut at every byte.

use crate::support::{End, ProxyOf, READY, Side, backend_side, limits_row, message, tls_facts};
use forebay_core::Refusal;
use forebay_core::engine::Purpose;
use forebay_core::snapshot::{ClientAuth, TlsMode};
use forebay_postgres::backend_login::BackendLogin;
use forebay_postgres::client_login::ClientLogin;
use forebay_postgres::wire::write;

/// What the two sides make of each other.
pub struct Pair {
    pub client: Side<ClientLogin>,
    pub backend: Side<BackendLogin>,
    /// Data of the certificate as either side sees it.
    end_points: [Option<&'static [u8]>; 2],
    /// Where the stream between them is cut, counted from the start over both directions; bytes before it arrive first.
    cut: usize,
    /// This byte of the stream is changed by that.
    pub flip: Option<(usize, u8)>,
    delivered: usize,
    /// Where in the stream each flight begins.
    pub flights: Vec<usize>,
}

const CERTIFICATE: Option<&[u8]> = Some(b"hash of the certificate");

/// A pair whose user knows the password or not.
pub fn pair(auth: ClientAuth, password: &str, mode: TlsMode) -> Pair {
    Pair {
        client: ProxyOf::one("u", "pencil", auth).side(),
        backend: backend_side(password, mode, Purpose::Pooled, "SET a = 1"),
        end_points: [CERTIFICATE; 2],
        cut: 0,
        flip: None,
        delivered: 0,
        flights: Vec::new(),
    }
}

/// A pair for tests that spoil something.
pub fn spoilt(auth: ClientAuth, mode: TlsMode, flip: (usize, u8)) -> Pair {
    Pair {
        flip: Some(flip),
        ..pair(auth, "pencil", mode)
    }
}

impl Pair {
    /// Carries bytes back and forth until nobody has anything to say. The server's part after the login is played here.
    pub fn run(&mut self) {
        let mut answers = [
            limits_answer(),
            [message(b'C', b"SET\0"), READY.to_vec()].concat(),
        ]
        .into_iter();
        let mut is_served = false;
        loop {
            if self.client.in_handshake && self.backend.in_handshake {
                self.client.handshake(&tls_facts(self.end_points[0]));
                self.backend.handshake(&tls_facts(self.end_points[1]));
            }
            let up = self.backend.take();
            let mut down = self.client.take();
            if is_served && !up.is_empty() {
                down.extend(answers.next().unwrap_or_default());
            } else {
                self.carry(&up, true);
                if !is_served && matches!(self.client.end, Some(End::Admitted(_))) {
                    is_served = true;
                    down.extend(self.client.take());
                    down.extend(welcome());
                }
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
            self.carry(&down, false);
        }
    }

    fn carry(&mut self, bytes: &[u8], is_up: bool) {
        let mut bytes = bytes.to_vec();
        if !bytes.is_empty() {
            self.flights.push(self.delivered);
        }
        if let Some((at, mask)) = self.flip
            && let Some(byte) = at
                .checked_sub(self.delivered)
                .and_then(|at| bytes.get_mut(at))
        {
            *byte ^= mask;
        }
        let at = self.cut.saturating_sub(self.delivered).min(bytes.len());
        for part in [&bytes[..at], &bytes[at..]] {
            match is_up {
                true => drop(self.client.feed(part)),
                false => drop(self.backend.feed(part)),
            }
        }
        self.delivered += bytes.len();
    }
}

/// What follows a login's proof.
fn welcome() -> Vec<u8> {
    let mut out = write::AUTHENTICATION_OK.to_vec();
    write::parameter_status(&mut out, b"server_version", b"18.6");
    write::backend_key_data(&mut out, 7, &[1, 2, 3, 4]);
    out.extend_from_slice(READY);
    out
}

fn limits_answer() -> Vec<u8> {
    [
        limits_row(["100", "3", "0"]),
        message(b'C', b"SELECT 1\0"),
        READY.to_vec(),
    ]
    .concat()
}

const WAYS: [(ClientAuth, TlsMode); 5] = [
    (ClientAuth::ScramSha256, TlsMode::Disable),
    (ClientAuth::ScramSha256, TlsMode::Require),
    (ClientAuth::Md5, TlsMode::Disable),
    (ClientAuth::Md5, TlsMode::Prefer),
    (ClientAuth::ClearText, TlsMode::VerifyFull),
];

#[test]
fn every_way_to_authenticate_works_and_can_be_cut_at_every_byte() {
    for (auth, mode) in WAYS {
        let mut cut = 0;
        loop {
            let mut pair = Pair {
                cut,
                ..pair(auth, "pencil", mode)
            };
            pair.run();
            assert!(
                matches!(pair.client.end, Some(End::Admitted(_))),
                "{auth:?} {mode:?} {cut}"
            );
            assert_eq!(
                pair.backend.end,
                Some(End::Ready {
                    usable: 97,
                    max: 100
                }),
                "{auth:?} {mode:?} {cut}"
            );
            if cut > pair.delivered {
                break;
            }
            cut += 1;
        }
        assert!(cut > 100, "the whole conversation was cut");
    }
}

#[test]
fn a_wrong_password_is_refused_in_every_way() {
    for (auth, mode) in WAYS {
        let mut pair = pair(auth, "pen", mode);
        pair.run();
        let user = "u".to_owned();
        assert_eq!(
            pair.client.end,
            Some(End::Refused(Refusal::WrongPassword { user })),
            "{auth:?}"
        );
        assert_eq!(pair.backend.end, None);
    }
}

#[test]
fn somebody_between_who_relays_scram_under_another_certificate_is_found_out() {
    let mut pair = pair(ClientAuth::ScramSha256, "pencil", TlsMode::Require);
    pair.end_points = [CERTIFICATE, Some(b"of somebody else")];
    pair.run();
    let refusal = Refusal::ChannelBinding("SCRAM channel binding check failed");
    assert_eq!(
        (pair.client.end, pair.backend.end),
        (Some(End::Refused(refusal)), None)
    );
}

#[test]
fn scram_works_where_one_side_does_not_know_the_certificate() {
    for end_points in [[None, CERTIFICATE], [CERTIFICATE, None], [None, None]] {
        let mut pair = pair(ClientAuth::ScramSha256, "pencil", TlsMode::Require);
        pair.end_points = end_points;
        pair.run();
        assert!(
            matches!(pair.client.end, Some(End::Admitted(_))),
            "{end_points:?}"
        );
    }
}

#[test]
fn a_proxy_without_tls_serves_those_who_only_prefer_it() {
    let mut pair = pair(ClientAuth::ScramSha256, "pencil", TlsMode::Prefer);
    pair.client = ProxyOf {
        tls: false,
        ..ProxyOf::one("u", "pencil", ClientAuth::ScramSha256)
    }
    .side();
    pair.run();
    assert!(matches!(pair.backend.end, Some(End::Ready { .. })));
}

#[test]
fn a_database_that_wants_the_password_in_clear_without_tls_does_not_get_it() {
    let mut pair = pair(ClientAuth::ClearText, "pencil", TlsMode::Disable);
    pair.run();
    let user = "u".to_owned();
    assert_eq!(
        pair.client.end,
        Some(End::Refused(Refusal::ClearTextNeedsTls { user }))
    );
    let carried = String::from_utf8_lossy(&pair.client.held).into_owned();
    assert!(!carried.contains("pencil"));
}

//! What a client hears of a SCRAM exchange that it got wrong: SQLSTATE and text, fault by fault.
//!
//! The table is what PostgreSQL 15.18 and 18.6 answered to the same messages (`conformance/kit/scram_faults.py` asks them again). Only
//! a mechanism that was not offered has RDS Proxy's words, and an unsupported kind of binding is not repeated to who named it.

use crate::support::{End, ProxyOf, message, startup, tls_facts};
use forebay_core::Refusal;
use forebay_core::snapshot::ClientAuth;
use forebay_postgres::errors::words;
use forebay_postgres::wire::startup::VERSION_3_2;
use forebay_postgres::wire::{HEADER_BYTES, write};

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const MALFORMED: &str = "malformed SCRAM message";
const NEGOTIATION: &str = "SCRAM channel binding negotiation error";
const CHECK: &str = "SCRAM channel binding check failed";
const UNEXPECTED: &str = "unexpected SCRAM channel-binding attribute in client-final-message";
const PROOF: &str = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=";

/// Whether TLS is used, mechanism, first message, last message (`N` stands for the nonce, `P` for a proof), SQLSTATE, text.
type Fault = (
    bool,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const FAULTS: &[Fault] = &[
    (true, PLAIN, "y,,n=,r=abc", "", "28000", NEGOTIATION),
    (true, PLUS, "n,,n=,r=abc", "", "08P01", MALFORMED),
    (true, PLUS, "y,,n=,r=abc", "", "08P01", MALFORMED),
    (
        true,
        PLAIN,
        "p=tls-server-end-point,,n=,r=abc",
        "",
        "08P01",
        MALFORMED,
    ),
    (
        true,
        PLUS,
        "p=tls-unique,,n=,r=abc",
        "",
        "08P01",
        "unsupported SCRAM channel-binding type",
    ),
    (
        true,
        PLUS,
        "p=tls-server-end-point,,n=,r=abc",
        "c=biws,r=N,p=P",
        "28000",
        CHECK,
    ),
    (
        true,
        PLUS,
        "p=tls-server-end-point,,n=,r=abc",
        "c=!!,r=N,p=P",
        "28000",
        CHECK,
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "c=eSws,r=N,p=P",
        "08P01",
        UNEXPECTED,
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "c=!!,r=N,p=P",
        "08P01",
        UNEXPECTED,
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "c=biws,r=Nx,p=P",
        "08P01",
        "invalid SCRAM response",
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "c=biws,r=N,p=AAAA",
        "08P01",
        MALFORMED,
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "c=biws,r=N,p=P,x=1",
        "08P01",
        MALFORMED,
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "c=biws,r=N",
        "08P01",
        MALFORMED,
    ),
    (
        false,
        PLAIN,
        "n,,n=,r=abc",
        "m=1,c=biws,r=N,p=P",
        "08P01",
        MALFORMED,
    ),
    (
        false,
        PLAIN,
        "n,a=x,n=,r=abc",
        "",
        "0A000",
        "client uses authorization identity, but it is not supported",
    ),
    (false, PLAIN, "n,b=x,n=,r=abc", "", "08P01", MALFORMED),
    (
        false,
        PLAIN,
        "n,,m=x,n=,r=abc",
        "",
        "0A000",
        "client requires an unsupported SCRAM extension",
    ),
    (false, PLAIN, "n,,r=abc", "", "08P01", MALFORMED),
    (false, PLAIN, "n,,n=,q=abc", "", "08P01", MALFORMED),
    (false, PLAIN, "n,,n=,r=abc,x", "", "08P01", MALFORMED),
    (
        false,
        PLAIN,
        "n,,n=,r=a\u{1}c",
        "",
        "08P01",
        "non-printable characters in SCRAM nonce",
    ),
    (false, PLAIN, "n,,n=,r=a\0c", "", "08P01", MALFORMED),
    (false, PLAIN, "x,,n=,r=abc", "", "08P01", MALFORMED),
    (false, PLAIN, "nn,,n=,r=abc", "", "08P01", MALFORMED),
    (false, PLAIN, "n", "", "08P01", MALFORMED),
    (false, PLAIN, "", "", "08P01", MALFORMED),
];

/// The refusal at the end of such an exchange.
fn refusal((tls, mechanism, first, last, ..): &Fault) -> Refusal {
    let mut side = ProxyOf::one("u", "pencil", ClientAuth::ScramSha256).side();
    if *tls {
        side.feed(write::SSL_REQUEST)
            .handshake(&tls_facts(Some(b"certificate")));
    }
    side.feed(&startup(VERSION_3_2, &[("user", "u")])).take();
    let len = (first.len() as u32).to_be_bytes();
    let initial = [mechanism.as_bytes(), b"\0", &len, first.as_bytes()].concat();
    side.feed(&message(b'p', &initial));
    if !last.is_empty() {
        let answer = side.take();
        let answer = String::from_utf8_lossy(&answer[HEADER_BYTES + 4..]).into_owned();
        let nonce = answer["r=".len()..].split(',').next().unwrap_or_default();
        let last = last.replace('P', PROOF).replace('N', nonce);
        side.feed(&message(b'p', last.as_bytes()));
    }
    match side.end.take() {
        Some(End::Refused(refusal)) => refusal,
        other => panic!("{first:?} {last:?} ended with {other:?}"),
    }
}

#[test]
fn every_fault_of_a_scram_exchange_is_told_as_postgresql_tells_it() {
    for fault in FAULTS {
        let words = words(&refusal(fault));
        let told = (&*words.code, words.text.as_str(), words.severity);
        assert_eq!(told, (fault.4, fault.5, "FATAL"), "{fault:?}");
    }
}

#[test]
fn what_may_be_an_attack_on_the_channel_counts_as_failed_authentication() {
    for fault in FAULTS {
        let refusal = refusal(fault);
        assert_eq!(
            refusal.is_authentication(),
            fault.4 == "28000",
            "{refusal:?}"
        );
    }
}

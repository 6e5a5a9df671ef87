//! Which requests for `/sessions` are answered, and how.

use super::*;
use forebay_core::sessions::{BackendRow, PinRow, SessionState};
use forebay_core::{PinReason, StatementShape};
use std::time::Duration;

/// A session that is pinned, in a transaction and at work.
pub(crate) fn pinned() -> SessionRow {
    SessionRow {
        client: 7,
        worker: 1,
        address: "10.0.0.9:4711".into(),
        proxy: "orders".into(),
        endpoint: "default".into(),
        user: Some("app".into()),
        database: Some("shop".into()),
        application: Some("web".into()),
        tls: true,
        state: SessionState::Active,
        lasts: Duration::from_millis(200),
        transaction: Some(Duration::from_secs(3)),
        pin: Some(PinRow {
            reason: PinReason::AdvisoryLock,
            lasts: Duration::from_secs(700),
            statement: Some(Arc::new(StatementShape {
                fingerprint: 0xbeef,
                text: "select pg_advisory_lock(?)".into(),
            })),
        }),
        backend: Some(BackendRow {
            number: 3,
            process: 4321,
            target: "db:5432".into(),
        }),
    }
}

fn host(name: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::HOST, header::HeaderValue::from_static(name))])
}

#[test]
fn only_this_machine_is_answered_unless_configured() {
    let loopback = [
        IpAddr::from([127, 0, 0, 1]),
        "::ffff:127.0.0.1".parse().unwrap(),
    ];
    let elsewhere = IpAddr::from([10, 0, 0, 9]);
    let by_address = host("127.0.0.1:9432");
    for peer in loopback {
        assert_eq!(admit(Audience::Loopback, peer, &by_address), Ok(()));
        assert!(admit(Audience::Nobody, peer, &by_address).is_err());
    }
    assert!(admit(Audience::Loopback, elsewhere, &by_address).is_err());
    assert_eq!(admit(Audience::Anyone, elsewhere, &by_address), Ok(()));
}

#[test]
fn a_page_in_a_browser_of_this_machine_cannot_ask_under_its_own_name() {
    let peer = IpAddr::from([127, 0, 0, 1]);
    for name in [
        "evil.example",
        "evil.example:9432",
        "127.0.0.1.evil.example",
    ] {
        assert!(
            admit(Audience::Loopback, peer, &host(name)).is_err(),
            "{name}"
        );
    }
    for name in ["localhost:9432", "127.0.0.1", "[::1]:9432", "[::1]"] {
        assert_eq!(
            admit(Audience::Loopback, peer, &host(name)),
            Ok(()),
            "{name}"
        );
    }
}

#[test]
fn a_question_is_understood_whole_or_not_at_all() {
    let asked = question("pinned=1&sort=age&limit=5&format=text").unwrap();
    let expected = SessionsAsked {
        pinned: true,
        sort: SessionsSort::Age,
        limit: 5,
    };
    assert_eq!((asked.asked, asked.is_text), (expected, true));
    assert_eq!(question("").unwrap().asked, SessionsAsked::default());
    for wrong in ["limit=0", "limit=10001", "limit=x", "pined=1", "sort=size"] {
        assert!(question(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn json_has_every_figure_and_null_where_there_is_none() {
    let mut idle = pinned();
    (idle.pin, idle.backend, idle.transaction) = (None, None, None);
    let report = SessionsReport {
        clients: 2,
        matching: 2,
        workers_silent: 0,
        rows: vec![pinned(), idle],
    };
    let shown = in_json(&report);
    let first = &shown["sessions"][0];
    assert_eq!(first["pin"]["reason"], "advisory_lock");
    assert_eq!(first["pin"]["seconds"], 700.0);
    assert_eq!(first["pin"]["fingerprint"], "000000000000beef");
    assert_eq!(first["pin"]["statement"], "select pg_advisory_lock(?)");
    assert_eq!(first["backend"]["pid"], 4321);
    assert_eq!(first["state"], "active");
    assert_eq!(first["transaction_seconds"], 3.0);
    let second = &shown["sessions"][1];
    assert!(second["pin"].is_null() && second["backend"].is_null());
}

//! The running binary between a client and a database that answers as it was told to: what a login means for the other side, for the
//! metrics and for the log.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

mod client;
mod database;

use client::Proxy;
use database::{Database, Manner, Seen};

const V3_0: u32 = 3 << 16;
const V3_2: u32 = 3 << 16 | 2;

#[test]
fn a_database_that_refuses_the_newest_protocol_is_asked_for_the_oldest_from_then_on() {
    for manner in [Manner::RefusesNewest, Manner::HangsUpOnNewest] {
        let database = Database::start(manner);
        let proxy = Proxy::in_front_of(&database);
        for name in ["one", "two"] {
            let mut client = proxy.client(&[("database", name)]);
            assert_eq!(client.log_in(), Ok(()), "{manner:?}");
        }
        let versions: Vec<u32> = [(); 3].map(|()| database.startup().0).into();
        assert_eq!(versions, [V3_2, V3_0, V3_0], "{manner:?}");
        // To the counters the two dials are one connection.
        for (name, value) in [
            ("database_connection_requests_total", 2),
            ("database_connections_setup_succeeded_total", 2),
            ("database_connections_setup_failed_total", 0),
        ] {
            assert_eq!(proxy.metric(name), value, "{name} {manner:?}");
        }
    }
}

#[test]
fn a_client_proves_either_password_of_two_and_the_database_may_know_either() {
    for known in ["hunter1", "hunter2"] {
        let database = Database::start(Manner::Knows(known));
        let mut proxy = Proxy::with_two_passwords(&database);
        for given in ["hunter1", "hunter2"] {
            let mut client = proxy.client(&[]);
            assert_eq!(client.log_in_with(given), Ok(()), "{known} {given}");
        }
        let wrong = proxy.client(&[]).log_in_with("hunter0");
        assert_eq!(wrong.map_err(|(code, _)| code), Err("28P01".to_owned()));
        // To the counters the two dials are one connection.
        for (name, value) in [
            ("client_connections_with_previous_password_total", 1),
            ("database_connection_requests_total", 1),
            ("database_connections_setup_succeeded_total", 1),
            ("database_connections_setup_failed_total", 0),
        ] {
            assert_eq!(proxy.metric(name), value, "{name} {known}");
        }
        if known == "hunter1" {
            proxy.log_line("knows user app by the previous password");
        }
    }
}

#[test]
fn a_cancel_request_carries_the_whole_key_that_the_database_gave() {
    for (manner, bytes) in [(Manner::Serves, 32), (Manner::NegotiatesOldest, 4)] {
        let database = Database::start(manner);
        let proxy = Proxy::in_front_of(&database);
        let mut client = proxy.client(&[]);
        assert_eq!(client.log_in(), Ok(()));
        assert_eq!(database.startup().0, V3_2);
        client.query("sleep");
        assert_eq!(database.next(), Seen::Query("sleep".into()));
        proxy.cancel(&client);
        let secret = vec![database::SECRET_BYTE; bytes];
        assert_eq!(database.next(), Seen::Cancel(database::PROCESS, secret));
    }
}

#[test]
fn a_login_that_the_database_does_not_grant_counts_as_failed_authentication() {
    let unknown = "The database refused the credentials that the proxy has for this role.";
    let unreachable = "The proxy cannot connect to the database.";
    for (manner, code, text, failed_auth) in [
        (Manner::RefusesPassword, "28000", unknown, 1),
        (Manner::WantsClearText, "08001", unreachable, 1),
        (
            Manner::IsFull,
            "53300",
            "sorry, too many clients already",
            0,
        ),
        (
            Manner::RefusesSettings,
            "42501",
            "permission denied to set parameter",
            0,
        ),
    ] {
        let database = Database::start(manner);
        let mut proxy = Proxy::in_front_of(&database);
        let refused = proxy.dedicated_client().log_in();
        assert_eq!(
            refused,
            Err((code.to_owned(), text.to_owned())),
            "{manner:?}"
        );
        let name = "client_connections_setup_failed_auth_total";
        assert_eq!(proxy.metric(name), failed_auth, "{manner:?}");
        assert_eq!(proxy.metric("database_connections_setup_failed_total"), 1);
        assert_eq!(proxy.metric("database_connection_requests_total"), 1);
        if matches!(manner, Manner::WantsClearText) {
            proxy.log_line("asks for the password in clear text, but the connection has no TLS");
        }
        if matches!(manner, Manner::RefusesSettings) {
            proxy.log_line("setting_refused");
        }
    }
}

#[test]
fn what_only_a_start_can_set_starts_a_connection_that_ends_with_its_client() {
    let database = Database::start(Manner::Serves);
    let mut proxy = Proxy::in_front_of(&database);
    let mut client = proxy.dedicated_client();
    assert_eq!(client.log_in(), Ok(()));
    let (_, parameters) = database.startup();
    let own = parameters
        .iter()
        .find(|(name, _)| name == "log_connections");
    assert_eq!(own.map(|(_, value)| value.as_str()), Some("on"));
    let replayed = parameters.iter().any(|(name, _)| name == "datestyle");
    assert!(!replayed, "{parameters:?}");
    assert!(matches!(database.next(), Seen::Query(text) if text.contains("datestyle")));
    proxy.log_line("Its startup message sets what can only be set when");
    assert_eq!(proxy.pins("startup_parameter"), 1);
    let pinned = "database_connections_currently_session_pinned";
    assert_eq!(proxy.metric(pinned), 1);

    client.query("select 1");
    assert_eq!(database.next(), Seen::Query("select 1".into()));
    client.until_ready();
    client.say_goodbye();
    assert_eq!(database.next(), Seen::Goodbye);
    assert_eq!(proxy.metric(pinned), 0);
}

#[test]
fn sessions_are_asked_of_the_running_process() {
    let database = Database::start(Manner::Serves);
    let proxy = Proxy::in_front_of(&database);
    let mut plain = proxy.client(&[]);
    assert_eq!(plain.log_in(), Ok(()));
    let mut own = proxy.dedicated_client();
    assert_eq!(own.log_in(), Ok(()));
    let all = proxy.sessions(&[]);
    assert_eq!(all.lines().count(), 4, "{all}");
    let pinned = proxy.sessions(&["--pinned", "--sort", "age"]);
    let row = pinned.lines().nth(1).expect("a session");
    assert!(row.contains("startup_parameter"), "{pinned}");
    let process = format!("{}@127.0.0.1:{}", database::PROCESS, database.port);
    assert!(row.contains(&process), "{pinned}");
    let json = proxy.sessions(&["--json", "--limit", "1"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["matching"], 2);
    let sessions = report["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["user"], "app");
    assert_eq!(sessions[0]["state"], "idle");
}

#[test]
fn the_goodbye_of_a_replication_client_is_one() {
    let database = Database::start(Manner::Serves);
    let mut proxy = Proxy::in_front_of(&database);
    let mut client = proxy.client(&[("replication", "true")]);
    assert_eq!(client.log_in(), Ok(()));
    database.startup();
    client.query("IDENTIFY_SYSTEM");
    assert_eq!(database.next(), Seen::Query("IDENTIFY_SYSTEM".into()));
    client.until_ready();
    client.say_goodbye();
    assert_eq!(database.next(), Seen::Goodbye);
    proxy.log_line("client_quit");
}

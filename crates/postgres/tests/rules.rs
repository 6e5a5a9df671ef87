//! What keeps a backend for one session, and what a session may find on it: pins with their statements, filters, custom settings.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "support/mod.rs"]
mod support;

use forebay_core::PinReason;
use forebay_core::engine::{Engine, Farewell};
use forebay_core::orders::Orders;
use forebay_core::snapshot::{CustomSettings, SessionRules};
use forebay_postgres::Postgres;
use std::sync::Arc;
use support::messages::{From, Line};
use support::world::{World, encoded};

const CLIENT: usize = 0;
const BACKEND: usize = 0;

/// A worker with so many backends and clients, all logged in, whose sessions have these rules.
fn world(backends: usize, clients: usize, rules: SessionRules) -> World {
    let rules = Arc::new(rules);
    let mut world = World::new(backends);
    for client in 0..clients {
        world.add_client(&[], false);
        world.lease(client, BACKEND);
        world.clients[client].session.rules = Arc::clone(&rules);
    }
    world.noted.clear();
    world
}

/// A query that the backend answers with this tag, and that leaves nothing behind.
fn query(world: &mut World, client: usize, backend: usize, sql: &str, tag: &str) {
    query_that_holds(world, client, backend, sql, tag, &[]);
}

/// A query that the backend answers with this tag, and that leaves objects of these kinds behind.
fn query_that_holds(
    world: &mut World,
    client: usize,
    backend: usize,
    sql: &str,
    tag: &str,
    held: &[&str],
) {
    world.client_says(client, &[format!("Query {sql:?}")]);
    if world.clients[client].waiting {
        world.lease(client, backend);
    }
    world.backends[backend].sent.clear();
    answer(world, backend, tag);
    tell(world, backend, held);
}

/// Tells what the session holds, if that is asked.
fn tell(world: &mut World, backend: usize, held: &[&str]) {
    let sent = world.backends[backend].sent.clone();
    let (lines, _) = Line::decode_all(From::Client, &sent);
    if lines.first().is_none_or(|line| line.name != "Close") {
        return;
    }
    let mut rows = held
        .iter()
        .map(|held| format!("DataRow \"o\" {held:?} NULL NULL"));
    let mut replies = Vec::new();
    for line in lines {
        match line.name.as_str() {
            "Parse" => replies.push("ParseComplete".to_owned()),
            "Bind" => replies.push("BindComplete".to_owned()),
            "Execute" => {
                replies.extend(rows.by_ref());
                replies.push("CommandComplete \"SELECT 0\"".to_owned());
            }
            "Close" => replies.push("CloseComplete".to_owned()),
            _ => replies.push("ReadyForQuery I".to_owned()),
        }
    }
    world.backends[backend].sent.clear();
    world.backend_says(backend, &replies);
}

/// Answers what was asked last with this tag.
fn answer(world: &mut World, backend: usize, tag: &str) {
    world.backend_says(
        backend,
        &[
            format!("CommandComplete {tag:?}"),
            "ReadyForQuery I".to_owned(),
        ],
    );
}

/// Whether a client with this request may have the backend.
fn suits(world: &World, client: usize, backend: usize, request: &str) -> bool {
    let input = encoded(&[format!("Query {request:?}")], From::Client);
    let (session, state) = (
        &world.clients[client].session,
        &world.backends[backend].state,
    );
    Postgres::suits(session, state, &input)
}

/// Whether the first client with this request would rather have the backend than wait for another.
fn prefers(world: &World, backend: usize, sql: &str) -> bool {
    let input = encoded(&[format!("Query {sql:?}")], From::Client);
    let (client, backend) = (&world.clients[0], &world.backends[backend]);
    Postgres::prefers(&client.session, &backend.state, &input)
}

fn is_pinned(world: &World) -> bool {
    world.noted.iter().any(|order| order.starts_with("Pin "))
}

#[test]
fn a_pin_names_the_statement_without_its_constants() {
    let mut world = world(1, 1, SessionRules::default());
    query_that_holds(
        &mut world,
        CLIENT,
        BACKEND,
        "SELECT pg_advisory_lock(4711)",
        "SELECT 1",
        &["advisory_lock"],
    );
    let statement = world.pinned_by.take().expect("it is known");
    assert_eq!(&*statement.text, "select pg_advisory_lock(?)");
}

#[test]
fn a_pin_that_only_the_server_knew_of_names_the_statement_that_hid_it() {
    let mut world = world(1, 1, SessionRules::default());
    query_that_holds(
        &mut world,
        0,
        0,
        "select f(7)",
        "SELECT 1",
        &["advisory_lock"],
    );
    let statement = world.pinned_by.take().expect("it is known");
    assert_eq!(&*statement.text, "select f(?)");
}

#[test]
fn where_the_server_cannot_be_asked_what_a_session_holds_it_keeps_its_backend() {
    let mut world = world(1, 1, SessionRules::default());
    world.client_says(0, &["Query \"select f(7)\"".to_owned()]);
    world.lease(0, 0);
    answer(&mut world, 0, "SELECT 1");
    let refused = "ErrorResponse ERROR 42501 \"permission denied for view pg_cursors\"";
    world.backend_says(0, &[refused.to_owned(), "ReadyForQuery I".to_owned()]);
    assert!(is_pinned(&world));
    let statement = world.pinned_by.take().expect("it is known");
    assert_eq!(&*statement.text, "select f(?)");
}

#[test]
fn a_server_that_could_not_be_asked_is_asked_again_behind_whatever_comes_next() {
    let mut world = world(1, 1, SessionRules::default());
    world.client_says(0, &["Query \"select f(7)\"".to_owned()]);
    world.lease(0, 0);
    answer(&mut world, 0, "SELECT 1");
    let late = "ErrorResponse ERROR 57014 \"canceling statement due to statement timeout\"";
    world.backend_says(0, &[late.to_owned(), "ReadyForQuery I".to_owned()]);
    assert!(is_pinned(&world));
    query(&mut world, 0, 0, "select 1", "SELECT 1");
    assert!(world.noted.iter().any(|order| order == "Unpin"));
}

#[test]
fn the_backend_that_remembers_a_value_is_preferred_by_who_asks_for_it() {
    let mut world = world(2, 2, SessionRules::default());
    assert!(prefers(&world, 1, "select lastval()"), "nobody remembers");
    query(&mut world, 0, 0, "insert into t values (1)", "INSERT 0 1");
    assert!(prefers(&world, 0, "select lastval()"));
    assert!(!prefers(&world, 1, "select lastval()"));
    assert!(prefers(&world, 1, "select 1"), "it does not ask");
    query(&mut world, 1, 0, "insert into t values (1)", "INSERT 0 1");
    assert!(!prefers(&world, 0, "select lastval()"), "another had it");
}

#[test]
fn a_backend_that_remembers_an_older_value_is_not_preferred() {
    let mut world = world(2, 1, SessionRules::default());
    query(&mut world, 0, 0, "insert into t values (1)", "INSERT 0 1");
    // Whoever gets the other one next resets it.
    world.backends[1].state.init_query = "set work_mem = '8MB'".into();
    world.client_says(
        0,
        &["Query \"reset work_mem; insert into t values (1)\"".to_owned()],
    );
    world.lease(0, 1);
    world.backends[1].sent.clear();
    world.backend_says(1, &["CommandComplete \"RESET\""]);
    answer(&mut world, 1, "INSERT 0 1");
    tell(&mut world, 1, &[]);
    assert!(!prefers(&world, 0, "select lastval()"));
}

#[test]
fn a_pin_by_a_prepared_statement_names_it() {
    let mut world = world(1, 1, SessionRules::default());
    let sql = "select pg_advisory_lock($1)";
    world.client_says(CLIENT, &[format!("Parse \"s\" {sql:?}"), "Sync".to_owned()]);
    world.lease(CLIENT, BACKEND);
    world.backend_says(BACKEND, &["ParseComplete", "ReadyForQuery I"]);
    world.client_says(CLIENT, &["Bind \"\" \"s\"", "Execute \"\" 0", "Sync"]);
    world.lease(CLIENT, BACKEND);
    world.backends[BACKEND].sent.clear();
    let replies = [
        "BindComplete",
        "CommandComplete \"SELECT 1\"",
        "ReadyForQuery I",
    ];
    world.backend_says(BACKEND, &replies);
    tell(&mut world, BACKEND, &["advisory_lock"]);
    assert!(is_pinned(&world));
    assert_eq!(&*world.pinned_by.take().expect("it is known").text, sql);
}

#[test]
fn statements_sent_together_are_looked_after_as_one() {
    let mut world = world(1, 1, SessionRules::default());
    let together = "select f();".repeat(9);
    for _ in 0..3 {
        query(&mut world, CLIENT, BACKEND, &together, "SELECT 1");
    }
    let asked = world.noted.iter().filter(|order| *order == "Probed");
    assert_eq!(asked.count(), 3);
}

#[test]
fn a_filtered_reason_does_not_pin_and_is_reset_for_the_next_one() {
    let rules = SessionRules {
        unpinned: vec![
            PinReason::TemporaryObject,
            PinReason::SetConfig,
            PinReason::UntrackedSetting,
        ],
        ..SessionRules::default()
    };
    let mut world = world(1, 2, rules);
    for (sql, held) in [
        ("create temp table t (a int)", &["temporary_object"][..]),
        ("select set_config(a, b, false) from t", &[]),
    ] {
        query_that_holds(&mut world, CLIENT, BACKEND, sql, "SELECT 1", held);
        assert!(!is_pinned(&world), "{sql}");
        assert!(world.backends[BACKEND].state.suspect.is_some(), "{sql}");
        world.client_says(1, &["Query \"select 1\""]);
        world.lease(1, BACKEND);
        let sent = String::from_utf8_lossy(&world.backends[BACKEND].sent).into_owned();
        assert!(sent.contains("DISCARD TEMP"), "{sql}: {sent}");
        world.backend_says(
            BACKEND,
            &[
                "ParseComplete",
                "CommandComplete \"RESET\"",
                "ReadyForQuery I",
                "ParseComplete",
                "CloseComplete",
            ],
        );
        answer(&mut world, BACKEND, "SELECT 1");
        world.backends[BACKEND].sent.clear();
    }
    query_that_holds(
        &mut world,
        CLIENT,
        BACKEND,
        "listen U&\\\"jobs\\\"",
        "LISTEN",
        &["listen"],
    );
    assert!(is_pinned(&world), "other reasons do");
}

#[test]
fn who_loses_track_of_a_setting_shares_no_statements() {
    let rules = SessionRules {
        unpinned: vec![PinReason::SetConfig],
        ..SessionRules::default()
    };
    let mut world = world(1, 1, rules);
    query(
        &mut world,
        CLIENT,
        BACKEND,
        "select set_config(name, value, false) from my.settings",
        "SELECT 1",
    );
    assert!(!is_pinned(&world));
    let tracker = &world.clients[CLIENT].session.tracker;
    assert!(tracker.has_lost());
}

#[test]
fn a_function_that_taints_pins_and_its_backend_is_closed_with_the_session() {
    let rules = SessionRules {
        tainting_functions: vec!["set_global".into()],
        ..SessionRules::default()
    };
    let mut world = world(1, 1, rules);
    query(&mut world, CLIENT, BACKEND, "select other()", "SELECT 1");
    assert!(!is_pinned(&world));
    query(
        &mut world,
        CLIENT,
        BACKEND,
        "select app.Set_Global('x')",
        "SELECT 1",
    );
    assert_eq!(
        world.noted.last().map(String::as_str),
        Some("Pin TaintingFunction")
    );
    query(&mut world, CLIENT, BACKEND, "discard all", "DISCARD ALL");
    assert!(!world.noted.iter().any(|order| order == "Unpin"));
    let mut orders = Orders::default();
    let farewell = Postgres::on_client_gone(&mut world.backends[BACKEND].state, &mut orders);
    assert_eq!(farewell, Farewell::Close);
}

#[test]
fn a_backend_that_knows_custom_settings_suits_only_who_has_set_them() {
    let mut world = world(1, 2, SessionRules::default());
    query(&mut world, 0, BACKEND, "set app.tenant = '1'", "SET");
    assert!(suits(&world, 0, BACKEND, "select 1"));
    assert!(!suits(&world, 1, BACKEND, "select 1"));
    assert!(suits(
        &world,
        1,
        BACKEND,
        "begin; set local app.tenant = '2'"
    ));
    assert!(!suits(&world, 1, BACKEND, "set app.other = '2'"));
}

#[test]
fn a_backend_that_had_temporary_tables_suits_nobody_who_sets_how_much_room_they_have() {
    let mut world = world(1, 2, SessionRules::default());
    let sql = "create temp table t (a int)";
    query(&mut world, 0, BACKEND, sql, "CREATE TABLE");
    assert!(suits(&world, 1, BACKEND, "select 1"));
    assert!(!suits(&world, 1, BACKEND, "set temp_buffers = '16MB'"));
    let other = world.add_backend(false);
    let sql = "set temp_buffers = '16MB'";
    query(&mut world, 1, other, sql, "SET");
    assert!(suits(&world, 1, other, "select 1"));
    assert!(!suits(&world, 1, BACKEND, "select 1"));
}

#[test]
fn a_set_that_is_rolled_back_is_known_all_the_same_and_one_that_fails_is_not_the_sessions() {
    let mut world = world(1, 2, SessionRules::default());
    let sql = "begin; set local app.tenant = '1'; rollback";
    world.client_says(0, &[format!("Query {sql:?}")]);
    world.lease(0, BACKEND);
    world.backend_says(
        BACKEND,
        &[
            "CommandComplete \"BEGIN\"",
            "CommandComplete \"SET\"",
            "CommandComplete \"ROLLBACK\"",
            "ReadyForQuery I",
        ],
    );
    assert!(suits(&world, 0, BACKEND, "select 1"));
    assert!(!suits(&world, 1, BACKEND, "select 1"));
    world.client_says(0, &["Query \"set app.other = 1\""]);
    world.lease(0, BACKEND);
    world.backend_says(
        BACKEND,
        &["ErrorResponse ERROR 22023 \"no\"", "ReadyForQuery I"],
    );
    assert!(
        !suits(&world, 0, BACKEND, "select 1"),
        "it may be there, and the session has not set it"
    );
}

#[test]
fn whoever_is_to_share_custom_settings_suits_any_backend() {
    let rules = SessionRules {
        custom_settings: CustomSettings::Shared,
        ..SessionRules::default()
    };
    let mut world = world(1, 2, rules);
    query(&mut world, 0, BACKEND, "set app.tenant = '1'", "SET");
    assert!(suits(&world, 1, BACKEND, "select 1"));
}

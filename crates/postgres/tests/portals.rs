//! More portals in one transaction than are known by name: what executing the others does is told by the tags of their answers.
//! (`crates/postgres/src/exchange/portals.rs`.)

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "support/mod.rs"]
mod support;

use forebay_postgres::exchange::portals::PORTALS_MAX;
use support::server::Server;
use support::world::World;

const CLIENT: usize = 0;
const BACKEND: usize = 0;

fn send(world: &mut World, server: &mut Server, lines: &[String]) {
    world.client_says(CLIENT, lines);
    if world.clients[CLIENT].waiting {
        world.lease(CLIENT, BACKEND);
    }
    while !world.backends[BACKEND].sent.is_empty() {
        let sent = std::mem::take(&mut world.backends[BACKEND].sent);
        let replies = server.on_bytes(&sent);
        world.backend_bytes(BACKEND, &replies);
    }
    assert_eq!(world.bug, None);
}

fn bound(statement: &str, portals: usize) -> (World, Server) {
    let (mut world, mut server) = (World::new(1), Server::default());
    world.add_client(&[], false);
    world.lease(CLIENT, BACKEND);
    let lines = |number: usize| format!("Bind \"p{number}\" \"s1\"");
    let mut begin = vec!["Query \"begin\"".to_owned()];
    begin.push(format!("Parse \"s1\" \"{statement}\""));
    begin.extend((0..portals).map(lines));
    begin.push("Sync".to_owned());
    send(&mut world, &mut server, &begin);
    world.noted.clear();
    (world, server)
}

fn run(world: &mut World, server: &mut Server, portal: usize) {
    let lines = [format!("Execute \"p{portal}\" 0"), "Sync".to_owned()];
    send(world, server, &lines);
    send(world, server, &["Query \"commit\"".to_owned()]);
}

#[test]
fn a_setting_set_by_a_portal_that_is_known_is_tracked() {
    let (mut world, mut server) = bound("set my.tenant to 't1'", PORTALS_MAX);
    run(&mut world, &mut server, PORTALS_MAX - 1);
    assert_eq!(world.noted, ["Release"]);
}

#[test]
fn a_setting_set_by_one_portal_too_many_pins() {
    let (mut world, mut server) = bound("set my.tenant to 't1'", PORTALS_MAX + 1);
    run(&mut world, &mut server, PORTALS_MAX);
    assert_eq!(world.noted, ["Probed", "Pin UntrackedSetting"]);
}

#[test]
fn a_row_written_by_one_portal_too_many_does_not_pin() {
    let (mut world, mut server) = bound("insert into t values (1)", PORTALS_MAX + 1);
    run(&mut world, &mut server, PORTALS_MAX);
    assert_eq!(world.noted, ["Release"]);
}

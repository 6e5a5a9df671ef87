//! What a client may have under way: of messages that the proxy answers itself, too, only so many wait for their turn.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "support/mod.rs"]
mod support;

use forebay_postgres::from_client::EXPECTS_MAX;
use support::world::World;

const CLIENT: usize = 0;
const BACKEND: usize = 0;

#[test]
fn answers_of_ours_that_wait_for_their_turn_are_bounded() {
    let mut world = World::new(1);
    world.add_client(&[], false);
    world.lease(CLIENT, BACKEND);
    world.client_says(CLIENT, &["Parse \"s\" \"select 1\"", "Sync"]);
    world.lease(CLIENT, BACKEND);
    world.backend_says(BACKEND, &["ParseComplete", "ReadyForQuery I"]);
    world.client_says(
        CLIENT,
        &["Parse \"\" \"select pg_sleep(20)\"", "Bind \"\" \"\""],
    );
    world.lease(CLIENT, BACKEND);
    world.client_says(CLIENT, &["Execute \"\" 0"]);
    for _ in 0..EXPECTS_MAX {
        world.client_says(CLIENT, &["Parse \"x\" \"select 1\"", "Close S \"x\""]);
    }
    let due = world.backends[BACKEND].state.exchange.len();
    assert!(due <= EXPECTS_MAX, "{due} replies are due");
    assert!(world.clients[CLIENT].paused);
    world.backend_says(
        BACKEND,
        &[
            "ParseComplete",
            "BindComplete",
            "CommandComplete \"SELECT 1\"",
        ],
    );
    let client = &world.clients[CLIENT];
    assert!(!client.paused && client.inbox.is_empty());
}

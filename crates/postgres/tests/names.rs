//! Errors speak of prepared statements by the names that their clients gave them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "support/mod.rs"]
mod support;

use support::messages::{From, Line};
use support::world::World;

/// What stands between the next two quotation marks of a line.
fn quoted(line: &str) -> &str {
    line.split('"').nth(1).expect("a name in quotation marks")
}

fn lines(from: From, bytes: &mut Vec<u8>) -> Vec<String> {
    let bytes = std::mem::take(bytes);
    let (lines, rest) = Line::decode_all(from, &bytes);
    assert_eq!(rest.len(), 0);
    lines.iter().map(ToString::to_string).collect()
}

#[test]
fn an_error_about_a_bind_names_the_clients_statement() {
    let mut world = World::new(1);
    world.add_client(&[], false);
    world.lease(0, 0);
    world.client_says(0, &["Parse \"mine\" \"select 1\"", "Sync"]);
    if world.clients[0].waiting {
        world.lease(0, 0);
    }
    let sent = lines(From::Client, &mut world.backends[0].sent);
    let ours = quoted(&sent[0]).to_owned();
    assert!(ours.starts_with("fb_"), "{sent:?}");
    world.backend_says(0, &["ParseComplete", "ReadyForQuery I"]);
    world.client_says(0, &["Bind \"\" \"mine\"", "Sync"]);
    if world.clients[0].waiting {
        world.lease(0, 0);
    }
    world.clients[0].sent.clear();
    let text = |name: &str| {
        format!(
            "bind message supplies 1 parameters, but prepared statement \\\"{name}\\\" requires 0"
        )
    };
    let error = |name: &str| format!("ErrorResponse ERROR 08P01 \"{}\"", text(name));
    world.backend_says(0, &[error(&ours), "ReadyForQuery I".to_owned()]);
    let seen = lines(From::Backend, &mut world.clients[0].sent);
    assert_eq!(seen[0], error("mine"));
    assert_eq!(world.bug, None);
}

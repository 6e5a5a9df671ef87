//! What one client can make the engine remember is bounded: settings beyond the bound pin, names beyond it are refused.
//! (`crates/postgres/src/tracking/bounds.rs`, `crates/postgres/src/session.rs`.)

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "support/mod.rs"]
mod support;

use forebay_postgres::plain_names::PLAIN_NAMES_MAX;
use forebay_postgres::session::STATEMENT_NAME_BYTES_MAX;
use forebay_postgres::tracking::{COPIES_MAX, SETTINGS_MAX};
use support::server::Server;
use support::world::World;

const CLIENT: usize = 0;
const BACKEND: usize = 0;

struct Conversation {
    world: World,
    server: Server,
}

impl Conversation {
    fn new(baseline: &[(String, String)]) -> Conversation {
        let (mut world, server) = (World::new(1), Server::default());
        world.add_client(baseline, false);
        world.lease(CLIENT, BACKEND);
        world.noted.clear();
        Conversation { world, server }
    }

    /// The client says all this at once, and the backend answers all of it at once.
    fn say(&mut self, lines: &[String]) {
        self.world.client_says(CLIENT, lines);
        if self.world.clients[CLIENT].waiting {
            self.world.lease(CLIENT, BACKEND);
        }
        loop {
            let sent = std::mem::take(&mut self.world.backends[BACKEND].sent);
            if sent.is_empty() {
                break;
            }
            let replies = self.server.on_bytes(&sent);
            self.world.backend_bytes(BACKEND, &replies);
        }
        assert_eq!(self.world.bug, None);
    }

    fn query(&mut self, text: &str) {
        self.say(&[format!("Query \"{text}\"")]);
    }

    fn was_refused(&mut self) -> bool {
        let noted = self.noted();
        noted.iter().any(|order| order.starts_with("Refuse"))
    }

    fn noted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.world.noted)
    }
}

fn sets(count: usize) -> Vec<String> {
    let set = |number| format!("Query \"set x.v{number} to '{number}'\"");
    (0..count).map(set).collect()
}

#[test]
fn one_setting_too_many_pins_and_discard_all_ends_that() {
    let mut talk = Conversation::new(&[("a".to_owned(), "base".to_owned())]);
    talk.say(&sets(SETTINGS_MAX));
    assert!(!talk.noted().iter().any(|order| order.starts_with("Pin")));
    talk.query("set x.more to '1'");
    assert_eq!(talk.noted().last().unwrap(), "Pin UntrackedSetting");
    // It is said once, and the backend stays.
    talk.say(&sets(2 * SETTINGS_MAX));
    talk.query("reset all");
    talk.query("select 1");
    assert!(talk.noted().iter().all(|order| order == "Probed"));
    let tracked = talk.world.clients[CLIENT].session.tracker.committed().map();
    assert_eq!(tracked.len(), 1);
    talk.query("discard all");
    assert_eq!(talk.noted(), ["Unpin", "Release"]);
    talk.query("set x.more to '1'");
    assert_eq!(talk.noted(), ["Lease", "Release"]);
}

#[test]
fn too_many_settings_of_a_transaction_pin_although_it_rolls_back() {
    let mut talk = Conversation::new(&[]);
    talk.query("begin");
    talk.say(&sets(SETTINGS_MAX + 1));
    talk.query("rollback");
    assert_eq!(talk.noted(), ["Lease", "Probed", "Pin UntrackedSetting"]);
}

#[test]
fn too_many_savepoints_below_which_something_is_set_pin() {
    let mut talk = Conversation::new(&[]);
    talk.query("begin");
    for number in 0..2 * COPIES_MAX {
        talk.query(&format!("savepoint s{number}"));
        talk.query(&format!("set x.v to '{number}'"));
    }
    talk.query("commit");
    assert_eq!(talk.noted(), ["Lease", "Probed", "Pin UntrackedSetting"]);
}

#[test]
fn a_backend_keeps_so_many_statements_of_sql_and_the_others_come_back() {
    let mut talk = Conversation::new(&[]);
    for number in 0..2 * PLAIN_NAMES_MAX {
        talk.query(&format!("prepare p{number} as select {number}"));
    }
    assert_eq!(talk.server.statements(), PLAIN_NAMES_MAX);
    talk.noted();
    for number in 0..PLAIN_NAMES_MAX {
        talk.query(&format!("execute p{number}"));
        assert_eq!(talk.noted(), ["Lease", "Reprepared", "Release"]);
    }
    assert_eq!(talk.server.statements(), PLAIN_NAMES_MAX);
}

#[test]
fn a_name_too_long_for_a_statement_is_refused_whatever_the_length_of_its_text() {
    for text in [1, 2 * 1024 * 1024] {
        let (longest, text) = ("n".repeat(STATEMENT_NAME_BYTES_MAX), "s".repeat(text));
        let parse = |name: &str| vec![format!("Parse \"{name}\" \"{text}\"")];
        let mut talk = Conversation::new(&[]);
        talk.say(&parse(&longest));
        assert!(!talk.was_refused());
        let mut talk = Conversation::new(&[]);
        talk.say(&parse(&(longest + "n")));
        assert!(talk.was_refused());
    }
}

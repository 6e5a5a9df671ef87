//! Conversations of `scenarios/<behaviour>/postgres.txt`, played against the engine word by word; `scenarios/README.md` describes the
//! format. Each is played again cut at every byte, with the client vanishing at every byte, and with the backend dying at every byte.
//!
//! `script.rs` reads a file, `stage.rs` plays it, `server.rs` tells from the bytes alone what a real server would still owe.
//! `FOREBAY_SCENARIO=simple-query cargo test -p forebay-postgres --test conversations` plays one.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[allow(
    dead_code,
    reason = "a script has more kinds of lines than this family plays"
)]
mod script;
mod server;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use script::Script;
use stage::{Ending, Stage};
use std::path::{Path, PathBuf};

#[test]
fn every_conversation_goes_as_it_is_written() {
    each(|script| Stage::play(script, None, Ending::Written));
}

#[test]
fn it_makes_no_difference_where_the_bytes_are_cut() {
    each(|script| {
        for cut in script.offsets() {
            Stage::play(script, Some(cut), Ending::Written);
        }
    });
}

#[test]
fn a_client_that_vanishes_at_any_byte_leaves_nothing_to_the_next_one() {
    each(|script| {
        for at in script.offsets() {
            Stage::play(script, None, Ending::Vanish(at));
        }
    });
}

#[test]
fn a_backend_that_dies_at_any_byte_costs_its_client_one_error() {
    each(|script| {
        for at in script.offsets() {
            Stage::play(script, None, Ending::Die(at));
        }
    });
}

fn each(play: impl Fn(&Script)) {
    let wanted = std::env::var("FOREBAY_SCENARIO").ok();
    let mut played = 0;
    for (name, path) in scenarios() {
        if wanted.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        play(&Script::read(&name, &text));
        played += 1;
    }
    assert!(played > 0, "there is no such scenario");
}

fn scenarios() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut found: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("postgres.txt").exists())
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                path.join("postgres.txt"),
            )
        })
        .collect();
    found.sort();
    found
}

//! Conversations of `scenarios/<behaviour>/mysql.txt`, played against the engine packet by packet; `scenarios/README.md` describes the
//! format. Each is played again cut at every byte, with the client vanishing at every byte, and with the backend dying at every byte; all of
//! it with clients whose results end with an OK packet, with clients whose results end with an EOF packet, and with compressed connections.
//!
//! `script.rs`, the PostgreSQL engine's, reads a file, `stage.rs` plays it.
//! `FOREBAY_SCENARIO=set-follows-the-client cargo test -p forebay-mysql --test conversations` plays one.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[allow(
    dead_code,
    reason = "a script has more kinds of lines than this family plays"
)]
#[path = "../../../postgres/tests/conversations/script.rs"]
mod script;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use script::Script;
use stage::{Ending, Run, Stage};
use std::path::{Path, PathBuf};

#[test]
fn every_conversation_goes_as_it_is_written() {
    each(|script, run| Stage::play(script, run));
}

#[test]
fn what_is_known_to_go_wrong_still_does() {
    for script in scripts().iter().filter(|script| script.failing.is_some()) {
        let fails =
            |is_new| std::panic::catch_unwind(|| Stage::play(script, Run::new(is_new))).is_err();
        let name = &script.name;
        assert!(
            fails(true) || fails(false),
            "scenarios/{name}/mysql.txt goes as it is written: take its `failing` out"
        );
    }
}

#[test]
fn it_makes_no_difference_where_the_bytes_are_cut() {
    each(|script, run| {
        for at in script.offsets() {
            Stage::play(
                script,
                Run {
                    cut: Some(at),
                    ..run
                },
            );
        }
    });
}

#[test]
fn a_client_that_vanishes_at_any_byte_leaves_nothing_to_the_next_one() {
    each(|script, run| {
        for at in script.offsets() {
            let ending = Ending::Vanish(at);
            Stage::play(script, Run { ending, ..run });
        }
    });
}

#[test]
fn a_backend_that_dies_at_any_byte_costs_its_client_one_error() {
    each(|script, run| {
        for at in script.offsets() {
            let ending = Ending::Die(at);
            Stage::play(script, Run { ending, ..run });
        }
    });
}

/// Plays what is not known to go wrong, in both dialects, and compressed.
fn each(play: impl Fn(&Script, Run)) {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "there is no such scenario");
    for script in scripts.iter().filter(|script| script.failing.is_none()) {
        for is_new in [true, false] {
            play(script, Run::new(is_new));
        }
        play(
            script,
            Run {
                is_compressed: true,
                ..Run::new(true)
            },
        );
    }
}

fn scripts() -> Vec<Script> {
    let wanted = std::env::var("FOREBAY_SCENARIO").ok();
    let is_wanted = |name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
    scenarios()
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, path)| Script::read(&name, &std::fs::read_to_string(path).unwrap()))
        .collect()
}

fn scenarios() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut found: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("mysql.txt").exists())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, path.join("mysql.txt"))
        })
        .collect();
    found.sort();
    found
}

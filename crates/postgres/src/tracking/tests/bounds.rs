//! What is tracked for one session stays within its bounds, whatever is set.

use super::*;
use std::hash::RandomState;

fn custom(number: usize, text: &str) -> Effect {
    set(&format!("x.v{number}"), text)
}

/// All maps that a session holds, in entries.
fn entries(tracker: &Tracker) -> usize {
    let frames = tracker.pending.iter().flat_map(|pending| &pending.frames);
    let maps = frames.filter_map(|frame| frame.map.as_ref()).map(Map::len);
    maps.sum::<usize>() + tracker.committed.map().len()
}

#[test]
fn settings_beyond_the_bound_are_lost_and_no_longer_copied() {
    let mut world = World::new(&[("a", "base")]);
    for number in 0..SETTINGS_MAX {
        world
            .complete(custom(number, "1"), "SET")
            .ready(b'I', false);
    }
    assert!(!world.tracker.has_lost());
    let full = Arc::clone(world.tracker.committed());
    assert_eq!(full.map().len(), 1 + SETTINGS_MAX);
    for number in SETTINGS_MAX..2 * SETTINGS_MAX {
        world.complete(custom(number, "1"), "SET");
        assert!(
            world
                .tracker
                .pending
                .as_ref()
                .is_none_or(|p| p.frames[0].map.is_none())
        );
        world.ready(b'I', false);
    }
    assert!(world.tracker.has_lost() && Arc::ptr_eq(&full, world.tracker.committed()));
    world.complete(custom(0, "2"), "SET").ready(b'I', false);
    assert_eq!(world.committed("x.v0"), Some(&sql("2")));
    world
        .complete(set("a", "1"), "SET")
        .complete(Effect::Reset("a".into()), "RESET");
    let restored = world.ready(b'I', false).tracker.take_restore(true, false);
    assert_eq!(
        restored.expect("of the baseline").statements,
        ["SET a TO 'base'"]
    );
}

#[test]
fn values_beyond_the_bound_are_absent_rather_than_old() {
    let mut world = World::new(&[]);
    let (half, rest) = (
        "h".repeat(SETTINGS_BYTES_MAX / 2),
        "r".repeat(SETTINGS_BYTES_MAX / 2),
    );
    world
        .complete(set("a", &half), "SET")
        .complete(set("b", "1"), "SET");
    assert!(!world.ready(b'I', false).tracker.has_lost());
    world.complete(set("b", &rest), "SET").ready(b'I', false);
    assert!(world.tracker.has_lost());
    assert_eq!(world.committed("b"), None);
    assert_eq!(world.committed("a"), Some(&sql(&half)));
}

#[test]
fn what_texts_mean_is_not_known_while_settings_are_lost_and_known_after_discard_all() {
    let hasher = RandomState::new();
    let mut world = World::new(&[]);
    let before = meaning(&world, &hasher);
    let long = "l".repeat(SETTINGS_BYTES_MAX);
    world
        .complete(set("search_path", &long), "SET")
        .ready(b'I', false);
    assert!(before.is_some() && meaning(&world, &hasher).is_none());
    world.complete(Effect::ResetAll, "RESET").ready(b'I', false);
    assert!(world.tracker.has_lost());
    world
        .complete(Effect::DiscardAll, "DISCARD ALL")
        .ready(b'I', false);
    assert!(!world.tracker.has_lost());
    assert_eq!(meaning(&world, &hasher), before);
}

#[test]
fn long_values_of_a_transaction_are_not_kept_to_tell_what_texts_mean() {
    let hasher = RandomState::new();
    let mut world = World::new(&[]);
    let long = "l".repeat(SETTINGS_BYTES_MAX);
    world.complete(locally("search_path", Some(&long)), "SET");
    assert_eq!(meaning(&world, &hasher), None);
    assert!(!world.tracker.has_lost());
    world.complete(Effect::Commit { chain: false }, "COMMIT");
    assert!(meaning(&world, &hasher).is_some());
}

#[test]
fn savepoints_beyond_the_bound_are_forgotten_and_what_is_set_stays() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET");
    for number in 0..SAVEPOINTS_MAX {
        world.complete(Effect::Savepoint(format!("s{number}")), "SAVEPOINT");
    }
    assert!(!world.tracker.has_lost());
    world.complete(Effect::Savepoint("last".into()), "SAVEPOINT");
    assert!(world.tracker.has_lost());
    assert_eq!(world.tracker.pending().frames.len(), 2);
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
}

#[test]
fn copies_for_savepoints_are_bounded() {
    let mut world = World::new(&[]);
    for number in 0..10 * COPIES_MAX {
        world
            .complete(Effect::Savepoint(format!("s{number}")), "SAVEPOINT")
            .complete(set("a", &number.to_string()), "SET");
        assert_eq!(world.tracker.current("a"), Some(&sql(&number.to_string())));
        assert!(entries(&world.tracker) <= COPIES_MAX + 2);
    }
    assert!(world.tracker.has_lost());
}

#[test]
fn a_savepoint_that_is_set_again_and_again_counts_once() {
    let again = || Effect::Savepoint("s".into());
    let mut world = World::new(&[]);
    for _ in 0..2 * SAVEPOINTS_MAX {
        world.complete(again(), "SAVEPOINT");
    }
    assert!(!world.tracker.has_lost());
    world
        .complete(set("a", "1"), "SET")
        .complete(again(), "SAVEPOINT");
    world.complete(set("a", "2"), "SET");
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
    world.complete(Effect::Release("s".into()), "RELEASE");
    world.complete(Effect::Release("s".into()), "RELEASE");
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert_eq!(world.tracker.current("a"), None);
}

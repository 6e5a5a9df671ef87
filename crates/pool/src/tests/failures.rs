//! What one worker's pools do when backends cannot be had: failing dials and their pauses, and clients that may not wait.

use super::fleet::Fleet;
use crate::*;
use forebay_core::Refusal;
use forebay_core::snapshot::PoolLimits;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn without_a_borrow_timeout_a_client_waits_only_for_what_is_opened_for_it() {
    let mut fleet = fleet(2, &without_timeout());
    let clients: Vec<_> = (0..3).map(|_| fleet.request(0, 1)).collect();
    assert_eq!(fleet.refusal_of(clients[2]), Some(&Refusal::BorrowTimeout));
    fleet.pass_millis(5);
    for client in &clients[..2] {
        assert!(fleet.backend_of(*client).is_some());
    }
    let late = fleet.request(0, 1);
    assert_eq!(fleet.refusal_of(late), Some(&Refusal::BorrowTimeout));
}

#[test]
fn without_a_borrow_timeout_the_wait_for_a_dial_has_an_end() {
    let mut fleet = fleet(2, &without_timeout());
    fleet.delays.dial = 1000 * SECOND;
    let client = fleet.request(0, 1);
    fleet.pass(DIAL_GRACE - Duration::from_nanos(1));
    assert!(fleet.is_waiting(client));
    fleet.pass(Duration::from_nanos(1));
    assert_eq!(fleet.refusal_of(client), Some(&Refusal::BorrowTimeout));
}

#[test]
fn without_a_borrow_timeout_nobody_waits_for_a_database_that_is_down() {
    let mut fleet = fleet(10, &without_timeout());
    fleet.dials_fail = Some(Refusal::BackendLost);
    let first = fleet.request(0, 1);
    fleet.pass_millis(5);
    assert_eq!(fleet.refusal_of(first), Some(&Refusal::BackendLost));
    let second = fleet.request(0, 1);
    assert_eq!(fleet.refusal_of(second), Some(&Refusal::BorrowTimeout));
    assert_eq!(fleet.dials, 1);
}

#[test]
fn without_a_borrow_timeout_a_failed_dial_ends_the_wait_that_was_for_it() {
    let mut fleet = fleet(10, &without_timeout());
    let holder = fleet.busy(0, 1, 1)[0];
    fleet.delays.dial = Duration::from_millis(50);
    fleet.dials_fail = Some(Refusal::BackendLost);
    let client = fleet.request(0, 1);
    fleet.pass_millis(51);
    assert_eq!(fleet.refusal_of(client), Some(&Refusal::BorrowTimeout));
    assert!(fleet.backend_of(holder).is_some());
}

#[test]
fn a_failed_dial_refuses_those_without_another_chance_and_pauses() {
    let mut fleet = fleet(10, &limits());
    let refusal = Refusal::TargetUnreachable {
        detail: "connection refused".into(),
    };
    fleet.dials_fail = Some(refusal.clone());
    let client = fleet.request(0, 1);
    fleet.pass_millis(5);
    assert_eq!(fleet.refusal_of(client), Some(&refusal));
    let mut dials = Vec::new();
    for _ in 0..9 {
        let before = (fleet.dials, fleet.now);
        let client = fleet.request(0, 1);
        while fleet.dials == before.0 {
            fleet.pass(Duration::from_millis(1));
        }
        dials.push(fleet.now.since(before.1).as_millis());
        fleet.pass_millis(5);
        assert_eq!(fleet.refusal_of(client), Some(&refusal));
    }
    assert_eq!(dials, [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    fleet.dials_fail = None;
    let client = fleet.request(0, 1);
    fleet.pass(3 * SECOND);
    assert!(fleet.backend_of(client).is_some());
}

#[test]
fn a_failed_dial_leaves_those_waiting_who_may_get_an_open_backend() {
    let mut fleet = fleet(10, &limits());
    let holder = fleet.busy(0, 1, 1)[0];
    fleet.dials_fail = Some(Refusal::BackendLost);
    let client = fleet.request(0, 1);
    fleet.pass(SECOND);
    assert!(fleet.is_waiting(client));
    fleet.release(holder);
    assert!(fleet.backend_of(client).is_some());
}

#[test]
fn a_full_database_refuses_nobody() {
    let mut fleet = fleet(10, &limits());
    fleet.delays.dial = 1000 * SECOND;
    let client = fleet.request(0, 1);
    let pool = fleet.pool(0, 1);
    fleet.workers[0].on_dial_crowded(fleet.now, pool, 0);
    assert!(fleet.is_waiting(client));
    assert_eq!(fleet.workers[0].deadline(), Some(fleet.now + BACK_OFF_MIN));
    fleet.workers[0].on_time(fleet.now + BACK_OFF_MIN);
    assert_eq!(fleet.budget.dialing(), 1, "dialed again after the pause");
}

#[test]
fn a_warm_minimum_that_cannot_be_opened_is_tried_less_and_less_often() {
    let warm = PoolLimits {
        pool_size_min: 2,
        ..limits()
    };
    let mut fleet = fleet(20, &warm);
    fleet.dials_fail = Some(Refusal::BackendLost);
    fleet.pool(0, 1);
    fleet.pass(Duration::from_secs(60));
    // Two at first, then one at a time: 50 ms, 100 ms and so on up to 25.6 s.
    let first_minute = fleet.dials;
    assert!((11..=13).contains(&first_minute), "{first_minute} dials");
    fleet.pass(Duration::from_secs(600));
    let dials = fleet.dials - first_minute;
    assert!((19..=21).contains(&dials), "{dials} dials in ten minutes");
    // A client that comes meanwhile need not wait for that long.
    fleet.dials_fail = None;
    let client = fleet.request(0, 1);
    fleet.pass_millis(10);
    assert!(fleet.backend_of(client).is_some());
    assert_eq!(fleet.backends.len(), 2, "and the rest follows at once");
}

#[test]
fn after_a_failure_one_dial_looks_whether_the_database_is_back_and_the_others_follow() {
    let mut fleet = fleet(20, &limits());
    fleet.dials_fail = Some(Refusal::BackendLost);
    fleet.request(0, 1);
    fleet.pass_millis(5);
    let clients: Vec<_> = (0..4).map(|_| fleet.request(0, 1)).collect();
    fleet.pass(BACK_OFF_MIN);
    assert_eq!(fleet.dials, 2, "one for all four");
    fleet.pass_millis(5);
    for client in &clients {
        assert_eq!(fleet.refusal_of(*client), Some(&Refusal::BackendLost));
    }
    let clients: Vec<_> = (0..4).map(|_| fleet.request(0, 1)).collect();
    fleet.dials_fail = None;
    fleet.pass_millis(120);
    for client in &clients {
        assert!(fleet.backend_of(*client).is_some());
    }
    assert_eq!(fleet.backends.len(), 4);
}

#[test]
fn pauses_are_shortened_by_the_jitter_of_their_failure() {
    let mut fleet = fleet(20, &limits());
    fleet.dials_fail = Some(Refusal::BackendLost);
    fleet.jitter = u16::MAX;
    fleet.request(0, 1);
    fleet.pass_millis(5);
    fleet.request(0, 1);
    fleet.pass_millis(24);
    assert_eq!(fleet.dials, 1);
    fleet.pass_millis(1);
    assert_eq!(fleet.dials, 2);
}

fn limits() -> PoolLimits {
    PoolLimits::default()
}

fn fleet(usable: u32, limits: &PoolLimits) -> Fleet {
    Fleet::new(1, usable, limits)
}

fn without_timeout() -> PoolLimits {
    PoolLimits {
        borrow_timeout: Duration::ZERO,
        ..limits()
    }
}

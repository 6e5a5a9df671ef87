//! What one worker's pools do: leases, waits, dials, trimming, ages, reloads.

use super::fleet::{Answer, Fleet, TARGET};
use crate::*;
use forebay_core::snapshot::{LeaseOrder, PoolLimits};
use forebay_core::{CloseReason, Refusal};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> PoolLimits {
    PoolLimits::default()
}

fn fleet(usable: u32, limits: &PoolLimits) -> Fleet {
    Fleet::new(1, usable, limits)
}

#[test]
fn the_first_client_waits_for_a_dial_and_the_next_finds_the_backend_idle() {
    let mut fleet = fleet(10, &limits());
    let first = fleet.request(0, 1);
    assert!(fleet.is_waiting(first));
    fleet.pass_millis(5);
    let waited = Duration::from_millis(5);
    let backend = fleet.backend_of(first).expect("dialed");
    assert_eq!(
        fleet.answer_of(first),
        Some(&Answer::Leased { backend, waited })
    );
    fleet.release(first);
    let second = fleet.request(0, 1);
    assert_eq!(
        fleet.answer_of(second),
        Some(&Answer::Leased {
            backend,
            waited: Duration::ZERO
        })
    );
    assert_eq!(fleet.dials, 1);
}

#[test]
fn a_released_backend_goes_to_the_client_that_has_waited_longest() {
    let mut fleet = fleet(1, &limits());
    let holder = fleet.busy(0, 1, 1)[0];
    let waiting: Vec<_> = (0..5).map(|_| fleet.request(0, 1)).collect();
    fleet.withdraw(waiting[2]);
    let mut holder = holder;
    for next in [0, 1, 3, 4] {
        fleet.release(holder);
        holder = waiting[next];
        assert!(fleet.backend_of(holder).is_some(), "client {next}");
    }
    assert_eq!(fleet.answer_of(waiting[2]), Some(&Answer::Withdrawn));
}

#[test]
fn an_equal_label_is_preferred_and_then_the_most_recently_used() {
    let mut fleet = fleet(10, &limits());
    let clients = fleet.busy(0, 1, 3);
    let backends: Vec<_> = clients
        .iter()
        .map(|client| fleet.backend_of(*client).expect("busy"))
        .collect();
    for (client, label) in clients.into_iter().zip([7, 8, 9]) {
        fleet.release_labelled(client, label);
    }
    let same = fleet.request_labelled(0, 1, 7);
    let recent = fleet.request_labelled(0, 1, 5);
    assert_eq!(fleet.backend_of(same), Some(backends[0]));
    assert_eq!(fleet.backend_of(recent), Some(backends[2]));
}

#[test]
fn a_pool_serves_one_user_in_one_database() {
    let mut fleet = fleet(10, &limits());
    fleet.warm_up(0, 1, 1);
    let stranger = fleet.request(0, 2);
    assert_eq!(fleet.backend_of(stranger), None, "that one is idle");
    let own = fleet.request(0, 1);
    assert!(fleet.backend_of(own).is_some());
}

#[test]
fn rotation_meets_every_backend_in_turn() {
    let mut fleet = fleet(
        10,
        &PoolLimits {
            lease_order: LeaseOrder::Rotate,
            ..limits()
        },
    );
    fleet.warm_up(0, 1, 3);
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let client = fleet.request_labelled(0, 1, 7);
        met.insert(fleet.backend_of(client));
        fleet.release_labelled(client, 7);
    }
    assert_eq!(met.len(), 3);
}

#[test]
fn no_more_is_dialed_than_clients_wait_for() {
    let mut fleet = fleet(100, &limits());
    let first = fleet.request(0, 1);
    assert_eq!(fleet.dials, 1);
    fleet.withdraw(first);
    fleet.request(0, 1);
    assert_eq!(fleet.dials, 1, "the dial under way will serve the newcomer");
    fleet.request(0, 1);
    assert_eq!(fleet.dials, 2);
}

#[test]
fn dials_stay_within_every_bound() {
    let table = [
        // (usable, pool_size_max, dials_max, connections_max) → dials under way for ten clients
        ((100, u32::MAX, 8, u32::MAX), 8),
        ((100, 3, 8, u32::MAX), 3),
        ((5, u32::MAX, 8, u32::MAX), 5),
        ((100, u32::MAX, 8, 4), 4),
        ((100, u32::MAX, 100, u32::MAX), 10),
    ];
    for ((usable, pool_size_max, dials_max, connections_max), dials) in table {
        let limits = PoolLimits {
            pool_size_max,
            dials_max,
            connections_max,
            ..limits()
        };
        let mut fleet = fleet(usable, &limits);
        for _ in 0..10 {
            fleet.request(0, 1);
        }
        assert_eq!(fleet.budget.dialing(), dials, "{limits:?}");
    }
}

#[test]
fn the_connect_gate_lets_the_next_dial_through_when_one_ends() {
    let mut fleet = fleet(
        100,
        &PoolLimits {
            dials_max: 2,
            ..limits()
        },
    );
    let clients: Vec<_> = (0..3)
        .flat_map(|user| [fleet.request(0, user), fleet.request(0, user)])
        .collect();
    assert_eq!(fleet.dials, 2);
    fleet.pass_millis(5);
    assert_eq!(fleet.dials, 4);
    fleet.pass_millis(10);
    assert!(
        clients
            .iter()
            .all(|client| fleet.backend_of(*client).is_some())
    );
}

#[test]
fn few_are_opened_before_the_database_has_told_its_limit() {
    let mut fleet = Fleet::unknown(1, &limits());
    for _ in 0..10 {
        fleet.request(0, 1);
    }
    fleet.pass_millis(100);
    assert_eq!(fleet.backends.len(), UNKNOWN_LIMIT_MAX as usize);
    fleet.set_usable(6);
    fleet.pass_millis(100);
    assert_eq!(fleet.backends.len(), 6);
}

#[test]
fn a_wait_ends_at_the_borrow_timeout_and_not_before() {
    let mut fleet = fleet(
        1,
        &PoolLimits {
            borrow_timeout: 3 * SECOND,
            ..limits()
        },
    );
    fleet.busy(0, 1, 1);
    let client = fleet.request(0, 1);
    fleet.pass(3 * SECOND - Duration::from_nanos(1));
    assert!(fleet.is_waiting(client));
    fleet.pass(Duration::from_nanos(1));
    assert_eq!(fleet.refusal_of(client), Some(&Refusal::BorrowTimeout));
}

#[test]
fn a_reload_changes_the_timeout_of_those_who_wait() {
    let mut fleet = fleet(
        1,
        &PoolLimits {
            borrow_timeout: 10 * SECOND,
            ..limits()
        },
    );
    fleet.busy(0, 1, 1);
    let (one, two) = (fleet.request(0, 1), fleet.request(0, 1));
    fleet.set_limits(&PoolLimits {
        borrow_timeout: 2 * SECOND,
        ..limits()
    });
    fleet.pass(2 * SECOND);
    assert_eq!(fleet.refusal_of(one), Some(&Refusal::BorrowTimeout));
    assert_eq!(fleet.refusal_of(two), Some(&Refusal::BorrowTimeout));
}

#[test]
fn a_full_queue_refuses_with_its_bound() {
    let mut fleet = fleet(
        1,
        &PoolLimits {
            queue_max: 2,
            ..limits()
        },
    );
    fleet.busy(0, 1, 1);
    let clients = [
        fleet.request(0, 1),
        fleet.request(0, 1),
        fleet.request(0, 1),
    ];
    assert_eq!(
        fleet.refusal_of(clients[2]),
        Some(&Refusal::QueueFull { max: 2 })
    );
    fleet.withdraw(clients[0]);
    let next = fleet.request(0, 1);
    assert!(fleet.is_waiting(next));
}

#[test]
fn the_idle_are_trimmed_to_their_share_after_the_idle_timeout() {
    let mut fleet = fleet(
        20,
        &PoolLimits {
            idle_connections_max_percent: 25,
            ..limits()
        },
    );
    fleet.warm_up(0, 1, 6);
    fleet.warm_up(0, 2, 6);
    fleet.pass(Duration::from_secs(299));
    assert_eq!(fleet.backends.len(), 12);
    fleet.pass(Duration::from_secs(2));
    assert_eq!(fleet.backends.len(), 5);
    assert_eq!(fleet.budget.aged(), 5);
    assert_eq!(fleet.close_reasons(), [CloseReason::IdleTrimmed; 7]);
}

#[test]
fn trimming_stops_at_the_warm_minimum_and_use_makes_young_again() {
    let mut fleet = fleet(
        20,
        &PoolLimits {
            idle_connections_max_percent: 0,
            pool_size_min: 2,
            ..limits()
        },
    );
    fleet.warm_up(0, 1, 4);
    let used = fleet.request(0, 1);
    fleet.pass(Duration::from_secs(301));
    assert_eq!(
        fleet.stats(0, 1).idle,
        1,
        "with the leased one that makes two"
    );
    fleet.release(used);
    assert_eq!(fleet.budget.aged(), 1);
    fleet.pass(Duration::from_secs(301));
    assert_eq!(fleet.stats(0, 1).idle, 2);
}

#[test]
fn the_warm_minimum_is_opened_without_being_asked_and_replaced_when_lost() {
    let mut fleet = fleet(
        20,
        &PoolLimits {
            pool_size_min: 3,
            ..limits()
        },
    );
    fleet.pool(0, 1);
    fleet.pass_millis(10);
    assert_eq!(fleet.stats(0, 1).idle, 3);
    let victim = *fleet.backends.keys().next().expect("warm");
    fleet.kill(victim);
    fleet.pass_millis(10);
    assert_eq!(fleet.stats(0, 1).idle, 3);
    assert!(!fleet.backends.contains_key(&victim));
}

#[test]
fn a_backend_ends_at_its_age_when_idle_and_when_released() {
    let mut fleet = fleet(
        20,
        &PoolLimits {
            lifetime_max: 60 * SECOND,
            ..limits()
        },
    );
    let clients = fleet.busy(0, 1, 2);
    fleet.release(clients[0]);
    fleet.pass(60 * SECOND);
    assert_eq!(fleet.close_reasons(), [CloseReason::MaxAge]);
    assert_eq!(fleet.stats(0, 1).leased, 1, "nobody is interrupted");
    fleet.release(clients[1]);
    assert_eq!(fleet.close_reasons(), [CloseReason::MaxAge; 2]);
}

#[test]
fn an_idle_backend_that_dies_is_not_missed() {
    let mut fleet = fleet(1, &limits());
    fleet.warm_up(0, 1, 1);
    let victim = *fleet.backends.keys().next().expect("warm");
    fleet.kill(victim);
    assert_eq!(fleet.budget.used(), 0);
    let client = fleet.request(0, 1);
    fleet.pass_millis(5);
    assert!(fleet.backend_of(client).is_some());
}

#[test]
fn a_leased_backend_that_dies_makes_room_for_those_who_wait() {
    let mut fleet = fleet(1, &limits());
    let holder = fleet.busy(0, 1, 1)[0];
    let client = fleet.request(0, 2);
    fleet.pass_millis(50);
    fleet.kill(fleet.backend_of(holder).expect("busy"));
    fleet.pass_millis(5);
    assert!(fleet.backend_of(client).is_some());
}

#[test]
fn at_the_limit_an_idle_backend_of_another_pool_makes_room() {
    let mut fleet = fleet(3, &limits());
    fleet.warm_up(0, 1, 1);
    fleet.pass_millis(1);
    fleet.warm_up(0, 2, 1);
    fleet.warm_up(0, 3, 1);
    let oldest = *fleet.backends.keys().next().expect("warm");
    let client = fleet.request(0, 4);
    assert_eq!(
        fleet.closed,
        [(oldest, CloseReason::GivenUp)],
        "the longest idle"
    );
    assert_eq!(fleet.dials, 3, "its place is taken until it is closed");
    fleet.pass_millis(10);
    assert!(fleet.backend_of(client).is_some());
    assert_eq!(fleet.closed.len(), 1);
}

#[test]
fn a_released_backend_makes_room_for_a_poorer_pool() {
    let mut fleet = fleet(4, &limits());
    let holders = fleet.busy(0, 1, 4);
    let poor = fleet.request(0, 2);
    let own = fleet.request(0, 1);
    fleet.release(holders[0]);
    assert!(
        fleet.backend_of(own).is_some(),
        "a place costs a dial: not for a moment's difference"
    );
    fleet.pass_millis(30);
    let own = fleet.request(0, 1);
    fleet.release(holders[1]);
    assert_eq!(fleet.close_reasons(), [CloseReason::GivenUp]);
    fleet.pass_millis(10);
    assert!(fleet.backend_of(poor).is_some());
    assert!(fleet.is_waiting(own));
}

#[test]
fn pools_that_share_a_place_take_turns() {
    let mut fleet = fleet(1, &limits());
    fleet.hold = Some(Duration::from_millis(1));
    for _ in 0..200 {
        fleet.request(0, 1);
        fleet.request(0, 2);
        fleet.pass_millis(2);
    }
    fleet.pass(10 * SECOND);
    let served = |user| {
        fleet
            .clients
            .values()
            .filter(|client| {
                client.user == user && matches!(client.answer, Some(Answer::Leased { .. }))
            })
            .count()
    };
    assert_eq!((served(1), served(2)), (200, 200));
}

#[test]
fn an_equally_poor_pool_gives_up_only_what_has_been_idle_for_a_while() {
    let mut fleet = fleet(2, &limits());
    fleet.warm_up(0, 1, 1);
    let holder = fleet.busy(0, 2, 1)[0];
    let again = fleet.request(0, 1);
    fleet.release(again);
    let second = fleet.request(0, 2);
    assert_eq!(fleet.closed, [], "fresh");
    fleet.pass(IDLE_GRACE);
    assert_eq!(fleet.close_reasons(), [CloseReason::GivenUp]);
    fleet.pass_millis(10);
    assert!(fleet.backend_of(second).is_some());
    assert!(fleet.backend_of(holder).is_some());
}

#[test]
fn lowered_limits_close_what_is_idle_at_once_and_the_rest_at_release() {
    let mut fleet = fleet(10, &limits());
    let clients = fleet.busy(0, 1, 6);
    for client in &clients[..2] {
        fleet.release(*client);
    }
    fleet.set_limits(&PoolLimits {
        connections_max: 3,
        ..limits()
    });
    assert_eq!(fleet.close_reasons(), [CloseReason::Reconfigured; 2]);
    fleet.pass_millis(1);
    fleet.release(clients[2]);
    fleet.release(clients[3]);
    assert_eq!(fleet.closed.len(), 3);
    assert_eq!(fleet.stats(0, 1).idle, 1);
    fleet.set_limits(&PoolLimits {
        pool_size_max: 1,
        ..limits()
    });
    assert_eq!(fleet.closed.len(), 4);
    fleet.release(clients[4]);
    assert_eq!(fleet.closed.len(), 5);
}

#[test]
fn a_removed_target_refuses_closes_and_forgets() {
    let mut fleet = fleet(3, &limits());
    let holders = fleet.busy(0, 1, 2);
    fleet.warm_up(0, 2, 1);
    let waiting = [fleet.request(0, 1), fleet.request(0, 1)];
    let pool = fleet.pool(0, 1);
    let now = fleet.now;
    fleet.remove_target(&Refusal::ShuttingDown, CloseReason::Drain);
    assert_eq!(fleet.workers[0].pool(now, &Fleet::key(1)), None);
    let late = fleet.workers[0].request(now, pool, ClientKey(999_999), 0);
    assert_eq!(late, Err(PoolGone));
    fleet.pass_millis(10);
    for client in waiting {
        assert_eq!(fleet.refusal_of(client), Some(&Refusal::ShuttingDown));
    }
    assert_eq!(fleet.budget.used(), 2);
    for client in holders {
        fleet.release(client);
    }
    fleet.pass_millis(10);
    assert_eq!(fleet.close_reasons(), [CloseReason::Drain; 3]);
    assert_eq!(fleet.budget.used(), 0);
    assert_eq!(fleet.workers[0].pools().count(), 0);
}

#[test]
fn a_removed_pool_ends_alone_and_another_of_its_name_begins_anew() {
    let mut fleet = fleet(2, &limits());
    let holder = fleet.busy(0, 1, 1)[0];
    fleet.busy(0, 2, 1);
    let waiting = fleet.request(0, 1);
    fleet.remove_pool(1, &Refusal::ShuttingDown, CloseReason::Reconfigured);
    fleet.pass_millis(10);
    assert_eq!(fleet.refusal_of(waiting), Some(&Refusal::ShuttingDown));
    assert_eq!(fleet.close_reasons(), []);
    fleet.release(holder);
    fleet.pass_millis(10);
    assert_eq!(fleet.close_reasons(), [CloseReason::Reconfigured]);
    assert_eq!(fleet.budget.used(), 1);
    fleet.busy(0, 1, 1);
    assert_eq!(fleet.budget.used(), 2);
}

#[test]
fn a_target_that_returns_with_a_new_budget_is_a_new_target() {
    let mut fleet = fleet(2, &limits());
    let holder = fleet.busy(0, 1, 1)[0];
    let old = fleet.pool(0, 1);
    let (now, budget) = (fleet.now, Budget::new());
    fleet.workers[0].set_target(now, TARGET, limits(), Arc::clone(&budget));
    let new = fleet.workers[0]
        .pool(now, &Fleet::key(1))
        .expect("configured");
    assert_ne!(old, new);
    fleet.release(holder);
    assert_eq!(fleet.close_reasons(), [CloseReason::Reconfigured]);
    fleet.pass_millis(10);
    assert_eq!((fleet.budget.used(), budget.used()), (0, 0));
}

#[test]
fn a_pool_nobody_used_for_ten_minutes_is_forgotten_and_its_name_is_not_reused() {
    let mut fleet = fleet(
        2,
        &PoolLimits {
            idle_connections_max_percent: 0,
            ..limits()
        },
    );
    fleet.warm_up(0, 1, 1);
    let old = fleet.pool(0, 1);
    fleet.pass(Duration::from_secs(301) + QUIET_MAX);
    assert_eq!(fleet.workers[0].pools().count(), 0);
    assert_eq!(fleet.workers[0].deadline(), None);
    let other = fleet.pool(0, 2);
    assert_eq!(other.slot, old.slot);
    let now = fleet.now;
    assert_eq!(
        fleet.workers[0].request(now, old, ClientKey(999_999), 0),
        Err(PoolGone)
    );
}

//! What several workers do together: backends that move, order of arrival across workers, one budget.

use super::fleet::{Answer, Fleet};
use super::simulation::Random;
use crate::*;
use forebay_core::snapshot::PoolLimits;
use forebay_core::{CloseReason, Refusal};
use std::time::Duration;

fn limits() -> PoolLimits {
    PoolLimits::default()
}

#[test]
fn an_idle_backend_moves_to_the_worker_that_starves() {
    let mut fleet = Fleet::new(4, 1, &limits());
    fleet.warm_up(0, 1, 1);
    for worker in [3, 1, 2, 0] {
        let client = fleet.request(worker, 1);
        fleet.pass_millis(1);
        assert!(fleet.backend_of(client).is_some(), "worker {worker}");
        fleet.release(client);
    }
    assert_eq!((fleet.dials, fleet.moves), (1, 4));
}

#[test]
fn one_backend_serves_four_workers_in_order_of_arrival() {
    let mut fleet = Fleet::new(4, 1, &limits());
    let mut holder = fleet.busy(0, 1, 1)[0];
    let mut clients = Vec::new();
    for round in 0..10 {
        for worker in [2, 0, 3, 1, 1, 0] {
            clients.push(fleet.request((worker + round) % 4, 1));
            fleet.pass(Duration::from_micros(1));
        }
    }
    for next in clients {
        fleet.release(holder);
        fleet.pass_millis(1);
        assert!(
            fleet.backend_of(next).is_some(),
            "{next:?}: {:?}",
            fleet.answer_of(next)
        );
        holder = next;
    }
}

/// Clients come to random workers, are held for random times, give up at random: those served are served in order of arrival,
/// whatever the delays of moves and wake-ups.
#[test]
fn with_one_backend_nobody_is_overtaken_whatever_the_interleaving() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut fleet = Fleet::new(4, 1, &limits());
        fleet.delays.wake = Duration::from_micros(random.below(200));
        fleet.delays.moving = Duration::from_micros(random.below(200));
        fleet.hold = Some(Duration::from_micros(random.below(300)));
        let mut clients = Vec::new();
        for _ in 0..200 {
            clients.push(fleet.request(random.index(4), 1));
            if random.below(10) == 0 {
                let victim = clients[random.index(clients.len())];
                fleet.withdraw(victim);
            }
            // Those of the same instant have no order.
            fleet.pass(Duration::from_micros(1 + random.below(300)));
        }
        fleet.pass(Duration::from_secs(1));
        let served =
            |client: &&ClientKey| matches!(fleet.answer_of(**client), Some(Answer::Leased { .. }));
        let expected: Vec<_> = clients.iter().filter(served).copied().collect();
        let mut pairs = fleet.leased.iter().zip(&expected);
        let wrong = pairs.find(|(leased, expected)| leased != expected);
        let wrong = wrong.map(|(one, other)| (&fleet.clients[one], &fleet.clients[other]));
        assert!(wrong.is_none(), "seed {seed}: {wrong:#?}");
        assert_eq!(fleet.leased.len(), expected.len(), "seed {seed}");
        assert!(
            clients.iter().all(|client| !fleet.is_waiting(*client)),
            "seed {seed}"
        );
    }
}

/// With backends in every worker, one may be overtaken by the clients of other workers, but only by those that came less than the
/// stated time after it.
#[test]
fn with_several_backends_nobody_is_overtaken_by_more_than_the_stated_time() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let mut fleet = Fleet::new(3, 4, &limits());
        fleet.busy(0, 1, 4);
        let holders: Vec<_> = fleet.clients.keys().copied().collect();
        for holder in holders {
            fleet.release(holder);
        }
        fleet.leased.clear();
        let hold = Duration::from_micros(500 + random.below(5_000));
        fleet.hold = Some(hold);
        for _ in 0..300 {
            // Most clients come to one worker.
            let worker = if random.below(3) > 0 {
                0
            } else {
                random.index(3)
            };
            fleet.request(worker, 1);
            fleet.pass(Duration::from_micros(random.below(600)));
        }
        fleet.pass(Duration::from_secs(5));
        assert_eq!(fleet.leased.len(), 300, "seed {seed}");
        let slack = MOVE_HANDICAP + ASK_AFTER + hold + fleet.delays.moving + fleet.delays.wake;
        let asked = |client: &ClientKey| fleet.clients[client].asked_at;
        for (place, client) in fleet.leased.iter().enumerate() {
            for overtaker in &fleet.leased[..place] {
                let ahead = asked(overtaker).since(asked(client));
                assert!(
                    ahead <= slack,
                    "seed {seed}: {client:?} by {overtaker:?}: {ahead:?} > {slack:?}"
                );
            }
        }
    }
}

#[test]
fn many_idle_backends_move_to_many_waiters() {
    let mut fleet = Fleet::new(2, 40, &limits());
    fleet.warm_up(0, 1, 40);
    let clients: Vec<_> = (0..40).map(|_| fleet.request(1, 1)).collect();
    fleet.pass_millis(5);
    assert!(
        clients
            .iter()
            .all(|client| fleet.backend_of(*client).is_some())
    );
    assert_eq!((fleet.dials, fleet.moves), (40, 40));
}

#[test]
fn a_worker_whose_backends_are_all_busy_gets_the_idle_ones_of_another() {
    let mut fleet = Fleet::new(2, 4, &limits());
    fleet.warm_up(0, 1, 2);
    let clients = fleet.busy(1, 1, 4);
    assert_eq!(clients.len(), 4);
    assert!(fleet.moves <= 2);
}

#[test]
fn the_idle_of_another_pool_in_another_worker_make_room() {
    let mut fleet = Fleet::new(2, 2, &limits());
    fleet.warm_up(0, 1, 2);
    let client = fleet.request(1, 2);
    fleet.pass_millis(10);
    assert!(fleet.backend_of(client).is_some());
    assert_eq!(
        fleet.close_reasons(),
        [CloseReason::GivenUp],
        "no more than are wanted"
    );
}

#[test]
fn a_place_given_back_goes_to_the_pool_that_has_waited_longest() {
    let mut fleet = Fleet::new(3, 2, &limits());
    let holders = fleet.busy(0, 1, 2);
    let early = fleet.request(1, 2);
    fleet.pass_millis(1);
    let late = fleet.request(2, 3);
    fleet.pass_millis(1);
    fleet.kill(fleet.backend_of(holders[0]).expect("busy"));
    fleet.pass_millis(10);
    assert!(fleet.backend_of(early).is_some());
    assert!(fleet.is_waiting(late));
}

#[test]
fn a_place_that_was_apart_from_the_pools_goes_to_who_waits_for_one() {
    for worker in [0, 1] {
        let mut fleet = Fleet::new(2, 2, &limits());
        fleet.open_apart();
        fleet.busy(0, 1, 1);
        let waiting = fleet.request(worker, 1);
        fleet.pass_millis(1_000);
        assert!(fleet.is_waiting(waiting));
        fleet.close_apart(0);
        fleet.pass_millis(10);
        assert!(fleet.backend_of(waiting).is_some(), "worker {worker}");
    }
}

#[test]
fn the_size_of_a_pool_is_bounded_over_all_workers() {
    let mut fleet = Fleet::new(
        3,
        100,
        &PoolLimits {
            pool_size_max: 2,
            ..limits()
        },
    );
    let clients: Vec<_> = (0..6).map(|number| fleet.request(number % 3, 1)).collect();
    fleet.pass_millis(100);
    assert_eq!(fleet.backends.len(), 2);
    fleet.hold = Some(Duration::from_millis(1));
    let holders: Vec<_> = clients
        .iter()
        .copied()
        .filter(|client| fleet.backend_of(*client).is_some())
        .collect();
    for holder in holders {
        fleet.release(holder);
    }
    fleet.pass_millis(100);
    assert!(clients.iter().all(|client| !fleet.is_waiting(*client)));
}

#[test]
fn a_queue_is_bounded_over_all_workers() {
    let limits = PoolLimits {
        queue_max: 4,
        ..limits()
    };
    let mut fleet = Fleet::new(3, 1, &limits);
    let holder = fleet.busy(0, 1, 1)[0];
    let clients: Vec<_> = (0..6).map(|number| fleet.request(number % 3, 1)).collect();
    let full = Refusal::QueueFull { max: 4 };
    for client in &clients[4..] {
        assert_eq!(fleet.refusal_of(*client), Some(&full));
    }
    // Each way out of the queue makes room in it: giving up, being served.
    fleet.withdraw(clients[1]);
    let next = fleet.request(2, 1);
    assert!(fleet.is_waiting(next));
    fleet.release(holder);
    fleet.pass_millis(1);
    assert!(fleet.backend_of(clients[0]).is_some());
    let last = fleet.request(1, 1);
    assert!(fleet.is_waiting(last));
    let refused = fleet.request(0, 1);
    assert_eq!(fleet.refusal_of(refused), Some(&full));
    // Another pool has a queue of its own.
    let other = fleet.request(0, 2);
    assert!(fleet.is_waiting(other));
}

#[test]
fn without_a_borrow_timeout_an_idle_backend_of_another_worker_is_still_found() {
    let mut fleet = Fleet::new(2, 1, &limits());
    fleet.warm_up(0, 1, 1);
    fleet.set_limits(&PoolLimits {
        borrow_timeout: Duration::ZERO,
        ..limits()
    });
    let client = fleet.request(1, 1);
    fleet.pass_millis(1);
    assert!(fleet.backend_of(client).is_some());
    let refused = fleet.request(0, 1);
    fleet.pass(MOVE_GRACE);
    assert_eq!(fleet.refusal_of(refused), Some(&Refusal::BorrowTimeout));
}

fn without_timeout() -> PoolLimits {
    PoolLimits {
        borrow_timeout: Duration::ZERO,
        ..limits()
    }
}

/// Worker 1 opens a backend for its first client, who then gets the idle one of worker 0: one is in use, the other being opened for
/// nobody.
fn with_a_dial_for_nobody(workers: u16) -> Fleet {
    let mut fleet = Fleet::new(workers, 2, &without_timeout());
    fleet.warm_up(0, 1, 1);
    fleet.delays.dial = Duration::from_millis(200);
    let holder = fleet.request(1, 1);
    fleet.pass_millis(1);
    assert!(fleet.backend_of(holder).is_some());
    assert_eq!((fleet.dials, fleet.moves, fleet.backends.len()), (2, 1, 1));
    fleet
}

#[test]
fn without_a_borrow_timeout_what_another_worker_opens_for_nobody_is_waited_for() {
    for worker in [0, 1, 2] {
        let mut fleet = with_a_dial_for_nobody(3);
        let client = fleet.request(worker, 1);
        fleet.pass_millis(198);
        assert!(fleet.is_waiting(client), "worker {worker}");
        fleet.pass_millis(2);
        assert!(fleet.backend_of(client).is_some(), "worker {worker}");
        assert_eq!(fleet.dials, 2);
    }
}

#[test]
fn without_a_borrow_timeout_one_client_waits_for_one_dial_and_it_is_the_oldest() {
    for (first, second) in [(0, 2), (2, 0), (0, 0), (0, 1)] {
        let mut fleet = with_a_dial_for_nobody(3);
        let client = fleet.request(first, 1);
        fleet.pass(Duration::from_micros(100));
        let late = fleet.request(second, 1);
        fleet.pass(MOVE_GRACE);
        let refused = if second == 1 {
            // Its own worker opens one, so it is told when that has gone to the older client.
            fleet.pass_millis(200);
            fleet.refusal_of(late)
        } else {
            fleet.refusal_of(late)
        };
        assert_eq!(refused, Some(&Refusal::BorrowTimeout), "{first}, {second}");
        fleet.pass_millis(200);
        assert!(fleet.backend_of(client).is_some(), "{first}, {second}");
    }
}

#[test]
fn without_a_borrow_timeout_the_wait_for_a_dial_of_another_worker_ends_with_it() {
    let mut fleet = with_a_dial_for_nobody(2);
    fleet.dials_fail = Some(Refusal::BackendLost);
    let client = fleet.request(0, 1);
    // The place that the failed dial gave back is this worker's to try, once.
    fleet.pass_millis(201);
    assert!(fleet.is_waiting(client));
    fleet.pass_millis(200);
    assert_eq!(fleet.refusal_of(client), Some(&Refusal::BorrowTimeout));
    assert_eq!(fleet.dials, 3);

    let mut fleet = with_a_dial_for_nobody(2);
    let client = fleet.request(0, 1);
    fleet.set_limits(&PoolLimits {
        connections_max: 1,
        ..without_timeout()
    });
    fleet.pass_millis(201);
    assert_eq!(fleet.refusal_of(client), Some(&Refusal::BorrowTimeout));
}

/// Never more clients than places, on random workers, and backends that die while idle: each client is served.
#[test]
fn without_a_borrow_timeout_nobody_is_refused_beside_a_backend_that_nobody_gets() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let places = 1 + random.index(4);
        let usable = u32::try_from(places).expect("few");
        let mut fleet = Fleet::new(4, usable, &without_timeout());
        fleet.delays.wake = Duration::from_micros(random.below(200));
        fleet.delays.moving = Duration::from_micros(random.below(200));
        fleet.delays.dial = Duration::from_micros(random.below(50_000));
        let mut held: Vec<ClientKey> = Vec::new();
        for _ in 0..60 {
            let client = fleet.request(random.index(4), 1);
            fleet.pass(Duration::from_micros(1 + random.below(30_000)));
            held.push(client);
            if held.len() == places {
                fleet.pass_millis(100);
                for client in held.drain(..) {
                    let answer = fleet.answer_of(client);
                    let served = matches!(answer, Some(Answer::Leased { .. }));
                    assert!(served, "seed {seed}: {client:?}: {answer:?}");
                    fleet.release(client);
                    if random.below(8) == 0 {
                        let backend = *fleet.backends.keys().next().expect("some are open");
                        fleet.kill(backend);
                    }
                }
            }
        }
    }
}

#[test]
fn a_backend_that_dies_before_it_could_move_is_not_waited_for() {
    let mut fleet = Fleet::new(3, 2, &limits());
    let holders = fleet.busy(0, 1, 2);
    let waiting = fleet.request(1, 1);
    let now = fleet.now;
    let backend = fleet.backend_of(holders[0]).expect("busy");
    fleet.workers[0].on_released(now, backend, 0);
    let order = fleet.workers[0].next_order();
    assert!(
        matches!(order, Some(Order::Move { to_worker: 1, .. })),
        "{order:?}"
    );
    fleet.clients.get_mut(&holders[0]).expect("ours").backend = None;
    fleet.backends.get_mut(&backend).expect("ours").client = None;
    fleet.kill(backend);
    // Its place is taken away, so only the other backend can serve.
    fleet.set_usable(1);
    fleet.release(holders[1]);
    fleet.pass_millis(1);
    assert!(fleet.backend_of(waiting).is_some());
}

#[test]
fn a_bound_raised_by_one_worker_is_used_by_the_others() {
    let mut fleet = Fleet::new(2, 1, &limits());
    fleet.busy(1, 1, 1);
    let waiting = fleet.request(1, 1);
    fleet.pass_millis(50);
    fleet.set_usable(2);
    fleet.pass_millis(10);
    assert!(fleet.backend_of(waiting).is_some());
}

#[test]
fn clients_that_come_while_room_is_being_made_get_room_too() {
    let mut fleet = Fleet::new(2, 5, &limits());
    fleet.warm_up(0, 1, 5);
    fleet.pass(IDLE_GRACE);
    fleet.request(1, 2);
    fleet.pass(fleet.delays.wake);
    assert_eq!(fleet.closed.len(), 1);
    for _ in 0..4 {
        fleet.request(1, 2);
    }
    fleet.pass_millis(1);
    assert_eq!(fleet.closed.len(), 5);
}

#[test]
fn warm_backends_of_the_first_worker_serve_the_others() {
    let mut fleet = Fleet::new(
        2,
        3,
        &PoolLimits {
            pool_size_min: 2,
            ..limits()
        },
    );
    fleet.pool(0, 1);
    fleet.pass_millis(10);
    let client = fleet.request(1, 1);
    fleet.pass_millis(1);
    assert!(fleet.backend_of(client).is_some());
    assert!(fleet.moves > 0);
}

#[test]
fn the_warm_minimum_is_of_all_workers_whichever_has_the_pool_first() {
    let warm = PoolLimits {
        pool_size_min: 2,
        ..limits()
    };
    let mut fleet = Fleet::new(3, 2, &warm);
    for worker in [2, 0, 1] {
        fleet.pool(worker, 1);
        fleet.pass_millis(10);
        assert_eq!(fleet.backends.len(), 2, "worker {worker}");
    }
    // Where they go to does not matter, nor where one is lost.
    let client = fleet.request(1, 1);
    fleet.pass_millis(10);
    let moved = fleet.backend_of(client).expect("moved");
    assert_eq!(fleet.backends.len(), 2);
    fleet.kill(moved);
    fleet.pass_millis(10);
    assert_eq!(fleet.backends.len(), 2);
    fleet.pass(Duration::from_secs(600));
    assert_eq!(fleet.backends.len(), 2, "not trimmed either");
}

#[test]
fn aged_backends_are_counted_over_all_workers() {
    let mut fleet = Fleet::new(2, 10, &limits());
    fleet.warm_up(0, 1, 4);
    fleet.warm_up(1, 2, 4);
    fleet.pass(Duration::from_secs(301));
    assert_eq!(fleet.backends.len(), 5);
    assert_eq!(fleet.budget.aged(), 5);
}

#[test]
fn busy_workers_do_not_hand_backends_to_and_fro() {
    let mut random = Random::new(1);
    let mut fleet = Fleet::new(2, 8, &limits());
    let mut clients = fleet.busy(0, 1, 4);
    clients.extend(fleet.busy(1, 1, 4));
    fleet.hold = Some(Duration::from_micros(200));
    for client in clients {
        fleet.release(client);
    }
    // Unequally many clients on each worker, but so many, asking again as soon as they are served, that all wait longer than `ASK_AFTER`.
    let mut active: Vec<_> = (0..80u8)
        .map(|number| fleet.request(usize::from(number % 8 < 3), 1))
        .collect();
    for _ in 0..500 {
        fleet.hold = Some(Duration::from_micros(random.below(400)));
        fleet.pass(Duration::from_micros(20));
        for client in &mut active {
            if !fleet.is_waiting(*client) && fleet.backend_of(*client).is_none() {
                let worker = fleet.clients[client].worker;
                *client = fleet.request(worker, 1);
            }
        }
    }
    assert!(fleet.leased.len() > 300);
    assert!(
        fleet.moves < 5,
        "{} moves, {} wake-ups",
        fleet.moves,
        fleet.wakes
    );
    assert_eq!(fleet.dials, 8);
}

//! Random runs: several workers and users, failing dials, dying backends, reloads, delays. By seed.
//!
//! What is checked after every event is in [`super::fleet`]. At the end of a run everything is released and every client must have
//! been answered, none of them by the borrow timeout: a wake-up that was lost would show as one.

use super::fleet::{Answer, Delays, Fleet};
use crate::*;
use forebay_core::Refusal;
use forebay_core::snapshot::{LeaseOrder, PoolLimits};
use std::time::Duration;

/// A small generator of random numbers (xorshift), so that a seed is all it takes to repeat a run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    fn micros(&mut self, bound: u64) -> Duration {
        Duration::from_micros(self.below(bound))
    }
}

/// `POOL_SEEDS=1000..9000` runs others than the usual ones.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("POOL_SEEDS").ok();
    let range = asked.as_deref().and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    range.unwrap_or(0..30)
}

fn limits(random: &mut Random) -> PoolLimits {
    PoolLimits {
        pool_size_max: random.pick(&[1, 2, 5, u32::MAX]),
        pool_size_min: random.pick(&[0, 0, 0, 2]),
        dials_max: random.pick(&[1, 2, 8]),
        lease_order: random.pick(&[LeaseOrder::Recent, LeaseOrder::Rotate]),
        idle_timeout: Duration::from_millis(random.pick(&[10, 1_000, 300_000])),
        idle_connections_max_percent: random.pick(&[0, 50]),
        lifetime_max: Duration::from_millis(random.pick(&[50, 1_000, 100_000])),
        ..PoolLimits::default()
    }
}

fn delays(random: &mut Random) -> Delays {
    Delays {
        dial: random.micros(10_000),
        close: random.micros(1_000),
        moving: random.micros(500),
        wake: random.micros(500),
    }
}

/// One run. `faults`: dials fail, backends die, limits change.
fn run(seed: u64, faults: bool) -> Fleet {
    let mut random = Random::new(seed);
    let workers = random.pick(&[1, 2, 3, 4]);
    let users = random.pick(&[1, 2, 5]);
    let limits_first = limits(&mut random);
    let mut fleet = Fleet::unknown(workers, &limits_first);
    fleet.delays = delays(&mut random);
    fleet.quiet_max = Some(if faults { BACK_OFF_MAX } else { IDLE_GRACE });
    fleet.hold = Some(random.micros(3_000));
    let pace = random.pick(&[50, 500, 5_000]);
    for step in 0..400 {
        if step == 10 {
            fleet.set_usable(random.pick(&[1, 3, 10, 50]));
        }
        act(&mut fleet, &mut random, users, faults);
        let time = random.micros(pace);
        fleet.pass(time);
    }
    fleet.dials_fail = None;
    for worker in 0..fleet.workers.len() {
        fleet.close_apart(worker);
    }
    fleet.pass(Duration::from_secs(60));
    fleet
}

fn act(fleet: &mut Fleet, random: &mut Random, users: u64, faults: bool) {
    let worker = random.index(fleet.workers.len());
    let user = u32::try_from(random.below(users)).expect("few users");
    match random.below(if faults { 24 } else { 16 }) {
        13 if random.below(3) == 0 => fleet.open_apart(),
        14 => fleet.close_apart(worker),
        16 => {
            let limits = limits(random);
            fleet.set_limits(&limits);
        }
        17 => fleet.set_usable(random.pick(&[1, 3, 10, 50])),
        18 => {
            fleet.dials_fail = random
                .pick(&[None, Some(())])
                .map(|()| Refusal::BackendLost)
        }
        19..=21 => kill(fleet, random),
        15 | 22 => withdraw(fleet, random),
        _ => drop(fleet.request_labelled(worker, user, random.pick(&[UNLABELLED, 1, 2]))),
    }
}

fn kill(fleet: &mut Fleet, random: &mut Random) {
    if !fleet.backends.is_empty() {
        let index = random.index(fleet.backends.len());
        let backend = *fleet.backends.keys().nth(index).expect("within");
        fleet.kill(backend);
    }
}

fn withdraw(fleet: &mut Fleet, random: &mut Random) {
    let recent: Vec<ClientKey> = fleet.clients.keys().rev().take(20).copied().collect();
    if !recent.is_empty() {
        let client = recent[random.index(recent.len())];
        fleet.withdraw(client);
    }
}

#[test]
fn every_client_is_answered_and_without_faults_none_waits_in_vain() {
    for seed in seeds() {
        let fleet = run(seed, false);
        for (key, client) in &fleet.clients {
            let fine = matches!(client.answer, Some(Answer::Leased { waited, .. }) if waited < Duration::from_secs(30))
                || client.answer == Some(Answer::Withdrawn);
            assert!(fine, "seed {seed}, {key:?}: {:?}", client.answer);
        }
    }
}

#[test]
fn whatever_fails_every_client_is_answered_and_nothing_leaks() {
    for seed in seeds() {
        let fleet = run(seed, true);
        for (key, client) in &fleet.clients {
            let fine = client.answer.is_some()
                && client.answer != Some(Answer::Refused(Refusal::BorrowTimeout));
            assert!(fine, "seed {seed}, {key:?}: {:?}", client.answer);
        }
        let open = fleet.backends.len();
        assert_eq!(
            fleet.budget.used() as usize,
            open + fleet.budget.dialing() as usize,
            "seed {seed}"
        );
    }
}

#[test]
fn a_seed_repeats_its_run_exactly() {
    for seed in [1, 77] {
        let (one, two) = (run(seed, true), run(seed, true));
        assert_eq!(one.leased, two.leased);
        assert_eq!(one.closed, two.closed);
        assert_eq!(
            (one.dials, one.moves, one.wakes),
            (two.dials, two.moves, two.wakes)
        );
    }
}

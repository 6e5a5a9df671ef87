//! Limits and timers of the proxy in virtual time: idle clients, clients at a time, logins a second, and a database that comes back
//! with another limit of its own.

use forebay_core::Refusal;
use forebay_core::event::EventKind;
use forebay_testkit::model::client::{Act, Step};
use forebay_testkit::sim::{self, ClientLimits, Played, Scenario, ask};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Timeouts of seconds are looked at once a second; login and network add little.
const SLACK: Duration = Duration::from_millis(1100);

fn scenario(workers: usize) -> Scenario {
    let mut scenario = Scenario::one_backend(7, workers, 0);
    scenario.limits.connections_max = u32::MAX;
    scenario.max_connections = 100;
    scenario
}

fn play(scenario: &Scenario, scripts: &[(Duration, Vec<Step>)]) -> Played {
    sim::play(scenario, scripts).unwrap_or_else(|failure| panic!("{}", failure.problem))
}

/// Refusals, with the time of each.
fn refusals(played: &Played) -> Vec<(Duration, Refusal)> {
    played.all(|kind| match kind {
        EventKind::ClientRefused { refusal, .. } => Some(refusal.clone()),
        _ => None,
    })
}

fn backends_opened(played: &Played) -> usize {
    let opened = |kind: &EventKind| matches!(kind, EventKind::BackendReady { .. }).then_some(());
    played.all(opened).len()
}

fn tag() -> [Step; 2] {
    ask(Act::Tag("x".into()))
}

fn think(seconds: u32) -> Step {
    Step::Think(seconds * 1000)
}

fn with_idle_timeout(seconds: u64) -> Scenario {
    let mut scenario = scenario(1);
    scenario.client_limits.idle_timeout = Duration::from_secs(seconds);
    scenario.expected = &["57P05"];
    scenario
}

#[test]
fn an_idle_client_is_closed_after_its_timeout_and_not_before() {
    let mut steps = tag().to_vec();
    steps.push(think(60));
    let played = play(&with_idle_timeout(10), &[(Duration::ZERO, steps)]);
    let refused = refusals(&played);
    let [(at, Refusal::IdleClientTimeout)] = refused[..] else {
        panic!("{refused:?}");
    };
    assert!(at >= 10 * SECOND && at < 10 * SECOND + SLACK, "{at:?}");
}

#[test]
fn each_request_starts_the_idle_timeout_again() {
    let mut steps = Vec::new();
    for _ in 0..5 {
        steps.extend(tag());
        steps.push(think(9));
    }
    steps.extend(tag());
    let played = play(&with_idle_timeout(10), &[(Duration::ZERO, steps)]);
    assert_eq!(refusals(&played), []);
    assert_eq!(played.report.mishaps, (0, 0));
}

#[test]
fn a_pause_in_a_transaction_is_idle_and_the_backend_is_rolled_back_and_kept() {
    let mut pausing = ask(Act::Begin { read_only: None }).to_vec();
    pausing.extend(ask(Act::Insert(1)));
    pausing.push(think(60));
    // Comes when the other is gone, and finds its backend clean.
    let next = ask(Act::Count).to_vec();
    let scripts = [(Duration::ZERO, pausing), (20 * SECOND, next)];
    let played = play(&with_idle_timeout(10), &scripts);
    let refused = refusals(&played);
    let [(at, Refusal::IdleClientTimeout)] = refused[..] else {
        panic!("{refused:?}");
    };
    assert!(at >= 10 * SECOND && at < 10 * SECOND + SLACK, "{at:?}");
    assert_eq!(played.report.commits, 0);
    assert_eq!(backends_opened(&played), 1);
}

#[test]
fn an_answer_that_takes_longer_than_the_idle_timeout_is_waited_for() {
    let mut scenario = with_idle_timeout(1);
    // A statement that waits for a lock: no answer, and no idleness either.
    scenario.limits.connections_max = 2;
    let mut holder = ask(Act::Lock(1)).to_vec();
    for _ in 0..5 {
        holder.extend(tag());
        holder.push(Step::Think(900));
    }
    holder.extend(ask(Act::Unlock(1)));
    let mut waiter = ask(Act::Lock(1)).to_vec();
    waiter.extend(ask(Act::Unlock(1)));
    let scripts = [(Duration::ZERO, holder), (SECOND / 2, waiter)];
    let played = play(&scenario, &scripts);
    assert_eq!(refusals(&played), []);
}

#[test]
fn no_more_clients_than_allowed_are_let_in_whatever_their_worker() {
    for workers in [1, 3] {
        let mut scenario = scenario(workers);
        scenario.client_limits = ClientLimits {
            clients_max: 2,
            ..ClientLimits::default()
        };
        scenario.expected = &["53300"];
        let stay = |seconds| {
            let mut steps = tag().to_vec();
            steps.push(think(seconds));
            steps
        };
        let scripts = [
            (Duration::ZERO, stay(5)),
            (SECOND, stay(9)),
            (2 * SECOND, stay(1)),
            (6 * SECOND, stay(1)),
        ];
        let played = play(&scenario, &scripts);
        let refused = refusals(&played);
        let [(at, Refusal::TooManyClients { max: 2 })] = refused[..] else {
            panic!("{refused:?}");
        };
        assert!(at >= 2 * SECOND && at < 2 * SECOND + SLACK, "{at:?}");
        assert_eq!(played.report.mishaps, (1, 1), "the third, at its login");
    }
}

#[test]
fn no_more_clients_than_allowed_log_in_within_a_second_whatever_their_worker() {
    for workers in [1, 3] {
        let mut scenario = scenario(workers);
        scenario.client_limits = ClientLimits {
            connect_rate_max: 2,
            ..ClientLimits::default()
        };
        scenario.expected = &["53300"];
        let begin = [100, 110, 120, 130, 1200, 1210].map(Duration::from_millis);
        let scripts = begin.map(|after| (after, tag().to_vec()));
        let played = play(&scenario, &scripts);
        let refused = refusals(&played);
        let all_alike = |(at, refusal): &(Duration, Refusal)| {
            *at < SECOND && *refusal == Refusal::ConnectRate { max: 2 }
        };
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused.iter().all(all_alike), "{refused:?}");
    }
}

#[test]
fn a_database_that_was_started_again_is_asked_again_how_many_connections_it_takes() {
    for (after, usable) in [(10, 7), (40, 37)] {
        let mut scenario = scenario(3);
        scenario.max_connections = 20;
        scenario.restart = Some((3 * SECOND, after));
        // Twelve transactions at a time, before and after.
        let mut steps = Vec::new();
        for _ in 0..2 {
            steps.extend(ask(Act::Begin { read_only: None }));
            steps.push(Step::Think(500));
            steps.extend(ask(Act::Commit { chain: false }));
            steps.push(think(5));
        }
        let scripts = vec![(Duration::ZERO, steps); 12];
        let played = play(&scenario, &scripts);
        let read: Vec<_> = played
            .all(|kind| match kind {
                EventKind::LimitsRead {
                    max_connections,
                    usable,
                    ..
                } => Some((*max_connections, *usable)),
                _ => None,
            })
            .into_iter()
            .map(|(_, limits)| limits)
            .collect();
        assert_eq!(read, [(20, 17), (after, usable)], "each told once");
        assert_eq!((played.report.mishaps, refusals(&played)), ((0, 0), vec![]));
        let blocks = played.registry.targets();
        let shown = blocks
            .iter()
            .map(|(_, block)| block.max_database_connections_allowed.get());
        assert_eq!(shown.max(), Some(u64::from(usable)));
    }
}

//! The data plane in simulation: fixed seeds, equal runs of equal seeds, and one backend that four workers share in order of arrival.

use forebay_core::snapshot::EngineFamily;
use forebay_pool::{ASK_AFTER, MOVE_HANDICAP};
use forebay_testkit::model::Protocol;
use forebay_testkit::sim::{self, Scenario};

fn run_of(engine: EngineFamily, seed: u64) -> sim::Report {
    sim::run(engine, seed, 30).unwrap_or_else(|failure| {
        let word = match engine {
            EngineFamily::Postgres => "postgres",
            EngineFamily::Mysql => "mysql",
        };
        panic!(
            "seed {seed} of {word}: {}\n{}\nrepeat: cargo run -q --profile quick -p forebay-testkit --bin sim -- --engine {word} --seed {seed}",
            failure.problem,
            failure.last.join("\n")
        )
    })
}

fn run(seed: u64) -> sim::Report {
    run_of(EngineFamily::Postgres, seed)
}

#[test]
fn random_clients_faults_and_limits_break_no_promise() {
    let reports: Vec<_> = (1..=25).map(run).collect();
    let sum = |of: fn(&sim::Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|r| r.replies) > 10_000 && sum(|r| r.commits) > 100);
    assert!(sum(|r| r.faults) > 10 && sum(|r| r.moves) > 100);
}

#[test]
fn random_clients_of_mysql_faults_and_limits_break_no_promise() {
    let reports: Vec<_> = (1..=40)
        .map(|seed| run_of(EngineFamily::Mysql, seed))
        .collect();
    let sum = |of: fn(&sim::Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|r| r.replies) > 5_000 && sum(|r| r.commits) > 100);
    assert!(sum(|r| r.faults) > 10 && sum(|r| r.moves) > 100);
}

/// Seeds that once found something, of MySQL.
#[test]
fn what_was_found_of_mysql_is_not_found_again() {
    // Answers of the proxy's own told the status of the statement before: a client waited for results that nobody sent (133), or was told
    // after COM_CHANGE_USER what was so before (77, 122, 147).
    for seed in [133, 77, 122, 147, 144, 146, 154, 156, 670, 1109] {
        run_of(EngineFamily::Mysql, seed);
    }
}

/// Seeds that once found something.
#[test]
fn what_was_found_is_not_found_again() {
    for seed in [
        66, 179, 184, 250, 315, 345, 1197, 1430, 2268, 2401, 57, 738, 105, 258, 343,
    ] {
        run(seed);
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in [3, 8] {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(3).trace, run(8).trace);
    let mysql = |seed| run_of(EngineFamily::Mysql, seed);
    assert_eq!(mysql(3), mysql(3));
    assert_ne!(mysql(3).trace, mysql(8).trace);
}

/// The newest protocol version is asked for; whatever a database makes of that, clients are served, and only the first connections
/// pay for it.
#[test]
fn databases_of_every_protocol_version_serve() {
    for protocol in [
        Protocol::Newest,
        Protocol::Negotiated,
        Protocol::Refused,
        Protocol::Unanswered,
    ] {
        let mut scenario = Scenario::one_backend(7, 2, 10);
        scenario.protocol = protocol;
        let order = sim::arrivals_and_answers(&scenario)
            .unwrap_or_else(|failure| panic!("{protocol:?}: {}", failure.problem));
        assert_eq!(order.len(), 10, "{protocol:?}");
    }
}

/// Clients of four workers share one backend. Each is overtaken only by clients that came less than the pool's bound after it
/// (`forebay-pool`, "Order of arrival"), give or take what the simulated network and threads add.
#[test]
fn one_backend_serves_clients_of_four_workers_in_order_of_arrival() {
    for seed in 0..5 {
        let order = sim::arrivals_and_answers(&Scenario::one_backend(seed, 4, 40))
            .unwrap_or_else(|failure| panic!("seed {seed}: {}", failure.problem));
        assert_eq!(order.len(), 40);
        let bound = MOVE_HANDICAP.max(ASK_AFTER + sim::RELEASE_MAX) + sim::JITTER;
        for (at, first) in order.iter().enumerate() {
            for later in &order[at + 1..] {
                // `later` was answered later: if it had come earlier, then by little.
                let ahead = first.asked.since(later.asked);
                assert!(
                    ahead <= bound,
                    "seed {seed}: {first:?} overtook {later:?} by {ahead:?}"
                );
            }
        }
    }
}

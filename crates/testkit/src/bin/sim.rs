//! `sim`: runs seeds of the data plane's simulation for a time, or so many, or one; says how to repeat what fails.
//!
//! `sim --seconds 10`, `sim --engine mysql --seed 7 --seeds 1`. Without `--engine` every engine has its share of the time, one after
//! the other. Exit status 0 when nothing was violated, 1 on the first violation, 2 on wrong arguments.

use forebay_core::snapshot::EngineFamily;
use forebay_testkit::sim;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Events shown of a run that failed, unless `--last` says otherwise.
const LAST: usize = 60;

struct Arguments {
    engines: Vec<EngineFamily>,
    seconds: Option<u64>,
    seed: u64,
    seeds: Option<u64>,
    last: usize,
    keep_going: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        engines: EngineFamily::ALL.to_vec(),
        seconds: None,
        seed: 1,
        seeds: None,
        last: LAST,
        keep_going: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--keep-going" {
            found.keep_going = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        if word == "--engine" {
            found.engines = vec![engine(&value)?];
            continue;
        }
        let value: u64 = value
            .parse()
            .map_err(|_| format!("{word}: {value} is no number"))?;
        match &*word {
            "--seconds" => found.seconds = Some(value),
            "--seed" => found.seed = value,
            "--seeds" => found.seeds = Some(value),
            "--last" => found.last = value as usize,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    if found.seconds.is_none() && found.seeds.is_none() {
        found.seeds = Some(1);
    }
    Ok(found)
}

/// An engine by the word for it.
fn engine(word: &str) -> Result<EngineFamily, String> {
    let mut all = EngineFamily::ALL.into_iter();
    all.find(|engine| word_for(*engine) == word)
        .ok_or_else(|| format!("unknown engine {word}: postgres or mysql"))
}

fn word_for(engine: EngineFamily) -> &'static str {
    match engine {
        EngineFamily::Postgres => "postgres",
        EngineFamily::Mysql => "mysql",
    }
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!(
                "sim: {problem}\nusage: sim [--engine postgres|mysql] [--seconds N] [--seed S] [--seeds COUNT] [--last EVENTS] [--keep-going]"
            );
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for engine in &arguments.engines {
        failed |= play(*engine, &arguments);
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs an engine's seeds. Whether one failed.
fn play(engine: EngineFamily, arguments: &Arguments) -> bool {
    let start = Instant::now();
    let share = arguments.engines.len() as u32;
    let time = arguments.seconds.map(|it| Duration::from_secs(it) / share);
    let mut total = sim::Report::default();
    let mut runs = 0;
    let mut failed = false;
    for seed in arguments.seed.. {
        let enough = arguments.seeds.is_some_and(|seeds| runs >= seeds)
            || time.is_some_and(|time| start.elapsed() >= time);
        if enough {
            break;
        }
        runs += 1;
        match attempt(engine, seed, arguments.last) {
            Ok(report) => add(&mut total, &report),
            Err(failure) if arguments.keep_going => {
                println!("VIOLATION in seed {}: {}", failure.seed, failure.problem);
                failed = true;
            }
            Err(failure) => {
                tell(engine, &failure);
                failed = true;
                break;
            }
        }
    }
    summarize(engine, arguments.seed, runs, &total, start.elapsed());
    failed
}

/// Runs a seed; one that fails runs again, telling.
fn attempt(engine: EngineFamily, seed: u64, last: usize) -> Result<sim::Report, sim::Failure> {
    let guarded = |telling| {
        std::panic::catch_unwind(|| sim::run(engine, seed, telling)).unwrap_or_else(|_| {
            Err(sim::Failure {
                seed,
                problem: "panic".into(),
                last: Vec::new(),
            })
        })
    };
    guarded(0).map_err(|first| match guarded(last) {
        Err(again) if again.problem == first.problem => again,
        other => sim::Failure {
            problem: format!("{}; the second run differs: {other:?}", first.problem),
            ..first
        },
    })
}

fn add(total: &mut sim::Report, report: &sim::Report) {
    total.steps += report.steps;
    total.clients += report.clients;
    total.replies += report.replies;
    total.mishaps.0 += report.mishaps.0;
    total.mishaps.1 += report.mishaps.1;
    total.faults += report.faults;
    total.commits += report.commits;
    total.moves += report.moves;
    total.milliseconds += report.milliseconds;
    total.trace = total.trace.rotate_left(1) ^ report.trace;
}

fn tell(engine: EngineFamily, failure: &sim::Failure) {
    println!(
        "seed {}: {:#?}",
        failure.seed,
        sim::Scenario::random(failure.seed)
    );
    println!("what happened last:");
    failure.last.iter().for_each(|line| println!("  {line}"));
    println!("VIOLATION in seed {}: {}", failure.seed, failure.problem);
    println!(
        "repeat: cargo run -q --profile quick -p forebay-testkit --bin sim -- --engine {} --seed {}",
        word_for(engine),
        failure.seed
    );
}

fn summarize(engine: EngineFamily, seed: u64, runs: u64, total: &sim::Report, took: Duration) {
    println!(
        "sim of {}: {runs} seeds from {seed} in {:.1} s: {} steps, {} clients, {} replies checked, {} commits, {} faults, {} refused, {} lost, {} moves, {} virtual seconds, trace {:016x}",
        word_for(engine),
        took.as_secs_f64(),
        total.steps,
        total.clients,
        total.replies,
        total.commits,
        total.faults,
        total.mishaps.0,
        total.mishaps.1,
        total.moves,
        total.milliseconds / 1000,
        total.trace,
    );
}

//! `cargo xtask test`: everything continuous integration runs, with a summary.
//!
//! Steps run in order of what is fast and fails often; a failed one does not keep the others from running. A step that
//! cannot run says why and counts as skipped, never as passed. The last line is `N passed, M failed`.

use std::time::Duration;

use anyhow::Result;

use crate::steps::{Outcome, Steps, heading, progress};
use crate::{
    check, classifier, conformance, fuzz, ledger, oracle, postgres, process, sim, workspace,
};

/// How much.
#[derive(clap::Args)]
pub struct Args {
    /// Only what needs no database: checks, unit tests, ledger
    #[arg(long)]
    quick: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    if !args.quick {
        // First, because everything that fails for want of a server should say so at once.
        steps.run("what tests need", install);
    }
    check::add_to(&mut steps);
    steps.run("ledger", || passed(ledger::run(&ledger::Args::default())));
    steps.run("unit tests", unit_tests);
    steps.run("fuzz corpus", || passed(fuzz::replay()));
    if args.quick {
        heading("Left out with --quick: simulation, classifier, conformance, oracle");
    } else {
        steps.run("simulation", simulation);
        steps.run("classifier", || {
            passed(classifier::run(&classifier::Args::quick()))
        });
        steps.run("conformance", real_databases);
        steps.run("conformance, MySQL's clients", mysqls_clients);
        steps.run("oracle", || passed(oracle::run(&oracle::Args::quick())));
    }
    steps.close()
}

fn passed(done: Result<()>) -> Result<Outcome> {
    done.map(|()| Outcome::Passed)
}

fn install() -> Result<Outcome> {
    for version in conformance::VERSIONS {
        let found = postgres::Binaries::find_or_install(Some(version))?;
        for tool in ["psql", "pgbench"] {
            found.tool(tool)?;
        }
        progress(&format!(
            "PostgreSQL {} in {}",
            found.version,
            found.bin.display()
        ));
    }
    Ok(Outcome::Passed)
}

fn unit_tests() -> Result<Outcome> {
    // Every wait of ours is bounded; a test that hangs shows one that is not, and must not take the run with it.
    const MOST: Duration = Duration::from_secs(25 * 60);
    passed(process::show_within(
        workspace::cargo().args(["test", "--workspace", "--no-fail-fast"]),
        MOST,
    ))
}

fn simulation() -> Result<Outcome> {
    if sim::exists()? {
        return passed(sim::run(&sim::Args::for_seconds(20)));
    }
    Ok(Outcome::Skipped(
        "forebay-testkit has no binary `sim` yet".into(),
    ))
}

fn real_databases() -> Result<Outcome> {
    if conformance::script().exists() {
        return passed(conformance::run(&conformance::Args::quick()));
    }
    Ok(Outcome::Skipped(
        "conformance/run.py is not there yet".into(),
    ))
}

fn mysqls_clients() -> Result<Outcome> {
    if conformance::mysql::run_quick()? {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::Skipped(
        "no MySQL can be had here: see above".into(),
    ))
}

//! `cargo xtask`: the commands that developers and continuous integration run.
//!
//! One file per command (`demo`, `test`, `check`, `bench` …); below them what they share: `cleanup` (what is
//! undone at the end, at a panic and at Ctrl-C), `process` (children in their own groups), `postgres` and `mysql` (private
//! servers, each in a `place` of its own), `proxy` (the `forebay` binary), `pgbench`, `sysbench` and `psql` (load and questions),
//! `window` (what of a load counts), `install` (what a bare machine lacks). `cargo xtask --help` lists the commands.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apt;
mod bench;
mod certificate;
mod check;
mod classifier;
mod cleanup;
mod conformance;
mod db;
mod debian_source;
mod debian_tree;
mod demo;
mod fuzz;
mod install;
mod ledger;
mod mysql;
mod oracle;
mod pgbench;
mod place;
mod postgres;
mod process;
mod procfs;
mod proxy;
mod psql;
mod regress;
mod samples;
mod sim;
mod steps;
mod suites;
mod sysbench;
mod table;
mod test;
mod tools;
mod window;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Commands for the developers of Forebay"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See what Forebay does: a real PostgreSQL, MySQL or MariaDB, the same load without and with the proxy, a small table.
    Demo(demo::Args),
    /// Everything continuous integration runs, with a summary.
    Test(test::Args),
    /// Format, lints, docs, licences, unused dependencies, and the rules of the house.
    Check(check::Args),
    /// Measure against a direct connection, HAProxy, and PgBouncer or MySQL Router; writes bench/results/.
    Bench(bench::Args),
    /// Simulate many sessions against a model database, by seed.
    Sim(sim::Args),
    /// Fuzz a target, or replay the committed corpus.
    Fuzz(fuzz::Args),
    /// A private database server of this machine, until Ctrl-C: PostgreSQL, MySQL, MariaDB.
    #[command(subcommand)]
    Db(db::Command),
    /// Real databases and real drivers through the proxy.
    Conformance(conformance::Args),
    /// PostgreSQL's own regression suite through the proxy, beside a direct run.
    Regress(regress::Args),
    /// The drivers' own test suites through the proxy, beside a direct run.
    Suites(suites::Args),
    /// How Forebay reads SQL, against PostgreSQL's own parser.
    Classifier(classifier::Args),
    /// The ledger of promised behaviour: each row has a state, each named test exists.
    Ledger(ledger::Args),
}

fn main() -> std::process::ExitCode {
    cleanup::on_signals();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Db(command) => db::run(&command),
        Command::Conformance(args) => conformance::run(&args),
        Command::Regress(args) => regress::run(&args),
        Command::Suites(args) => suites::run(&args),
        Command::Classifier(args) => classifier::run(&args),
        Command::Ledger(args) => ledger::run(&args),
    };
    cleanup::wait_if_interrupted();
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

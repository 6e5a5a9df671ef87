//! The `forebay` binary: command line, start, signals, end.
//!
//! | module | answers |
//! | --- | --- |
//! | `cli` | what can be said on the command line |
//! | `plan` | what it comes to: settings of the process, a snapshot, where to reload it from |
//! | `life` | start, stay, reload, drain, stop |
//! | `check` | `forebay check` |
//! | `sessions` | `forebay sessions` |
//! | `explain` | `forebay explain` |
//! | `log` | log lines, from workers' events and from here |
//! | `process` | file descriptors and core files |
//!
//! Exit status: 0 after a drain, 1 when it cannot start, the configuration is wrong or nobody answers, 2 for a wrong command line.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
mod cli;
mod explain;
mod life;
mod log;
mod plan;
mod process;
mod sessions;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Run(args) => plan::from_url(&args).and_then(life::live),
        cli::Command::Serve(args) => plan::from_file(&args).and_then(life::live),
        cli::Command::Check(args) => check::check(&args.config),
        cli::Command::Sessions(args) => sessions::sessions(&args),
        cli::Command::Explain(args) => explain::explain(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// One line for each reason, whatever the log level and format.
fn complain(error: &anyhow::Error) {
    for line in format!("{error:#}").lines() {
        eprintln!("forebay: {line}");
    }
}

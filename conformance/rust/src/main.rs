//! Conformance with tokio-postgres: prepared statements, pipelines, COPY, cancel, transactions, types.
//!
//! Takes the options and prints the report lines of the other suites (`conformance/run.py` starts it):
//! `ok NAME` or `FAIL NAME: reason` per check, and `done` at the end. Every check also holds against
//! PostgreSQL itself.

mod exchange;
mod sharing;
mod target;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use target::Target;

/// Longest a check may take: the usual fault of a proxy is to answer nothing.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a check comes to.
pub type Outcome = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A named check.
pub type Check = (&'static str, fn(Target) -> Outcome);

/// Lists async functions `fn(Target) -> anyhow::Result<()>` under their own names.
#[macro_export]
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), (|target| Box::pin($name(target))) as fn($crate::target::Target) -> $crate::Outcome)),*]
    };
}

fn main() -> anyhow::Result<()> {
    let target = Target::from_arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let failures = runtime.block_on(run(&target));
    // Stuck connections must not keep the process alive.
    runtime.shutdown_background();
    std::process::exit(i32::from(failures > 0));
}

/// Runs the chosen checks in order; returns how many failed.
async fn run(target: &Target) -> usize {
    let mut failures = 0;
    let all = exchange::CHECKS.iter().chain(&sharing::CHECKS);
    for (name, check) in all.filter(|(name, _)| name.contains(&target.only)) {
        match tokio::time::timeout(DEADLINE, check(target.clone())).await {
            Ok(Ok(())) => println!("ok {name}"),
            Ok(Err(reason)) => {
                failures += 1;
                println!("FAIL {name}: {}", one_line(&format!("{reason:#}")));
            }
            Err(_) => {
                failures += 1;
                println!("FAIL {name}: no end after {} s", DEADLINE.as_secs());
            }
        }
    }
    println!("done");
    failures
}

/// A report is one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

//! `cargo xtask sim`: the simulation of the testkit, for as long as wanted, repeatable by its seed.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{process, workspace};

/// How long, and from which seed.
#[derive(clap::Args)]
pub struct Args {
    /// postgres or mysql; both, one after the other, if not given
    #[arg(long)]
    engine: Option<String>,
    /// How long to go on with new seeds, all engines together
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run this one seed only, as a failure printed it
    #[arg(long)]
    seed: Option<u64>,
    /// With debug assertions: pools check themselves after each turn of a worker; slower
    #[arg(long)]
    checked: bool,
    /// Further arguments for the simulation itself
    #[arg(last = true)]
    more: Vec<String>,
}

impl Args {
    /// As continuous integration runs it.
    pub fn for_seconds(seconds: u64) -> Args {
        Args {
            engine: None,
            seconds,
            seed: None,
            checked: false,
            more: Vec::new(),
        }
    }
}

/// Whether there is a simulation to run.
pub fn exists() -> Result<bool> {
    Ok(workspace::has_target(
        &workspace::metadata()?,
        "forebay-testkit",
        "bin",
        "sim",
    ))
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if !exists()? {
        bail!("the package `forebay-testkit` has no binary `sim`");
    }
    let mut cargo = workspace::cargo();
    let profile = if args.checked { "checked" } else { "quick" };
    cargo.args(["run", "-q", "--profile", profile]);
    cargo.args(["-p", "forebay-testkit", "--bin", "sim", "--"]);
    cargo.args(["--seconds", &args.seconds.to_string()]);
    if let Some(engine) = &args.engine {
        cargo.args(["--engine", engine]);
    }
    if let Some(seed) = args.seed {
        cargo.args(["--seed", &seed.to_string()]);
    }
    // It may have to be built first.
    let most = Duration::from_secs(args.seconds) * 2 + Duration::from_secs(20 * 60);
    process::show_within(cargo.args(&args.more), most)
}

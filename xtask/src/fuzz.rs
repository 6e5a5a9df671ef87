//! `cargo xtask fuzz`: search with libFuzzer, or replay what earlier searches found.
//!
//! `fuzz/` is a workspace of its own, because its targets link libFuzzer. Replaying a corpus needs no fuzzer: a test target
//! named `corpus` of a package of the workspace reads `fuzz/corpus/` and feeds every file to the same functions.

use anyhow::{Result, bail};

use crate::{process, tools, workspace};

/// What to fuzz.
#[derive(clap::Args)]
pub struct Args {
    /// A target of fuzz/; without one, the committed corpus is replayed
    target: Option<String>,
    /// How long to search
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// The packages whose tests `corpus` replay the corpus.
fn replay_packages() -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let names = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| package["name"].as_str());
    let having = names.filter(|name| workspace::has_target(&metadata, name, "test", "corpus"));
    Ok(having.map(ToString::to_string).collect())
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.target {
        Some(target) => search(target, args.seconds),
        None => replay(),
    }
}

/// Feeds the committed corpus to the code.
pub fn replay() -> Result<()> {
    let packages = replay_packages()?;
    if packages.is_empty() {
        bail!("no package has a test named `corpus` that replays fuzz/corpus");
    }
    let mut cargo = workspace::cargo();
    cargo.arg("test");
    for package in &packages {
        cargo.args(["-p", package]);
    }
    process::show(cargo.args(["--test", "corpus"]))
}

fn search(target: &str, seconds: u64) -> Result<()> {
    let folder = workspace::root().join("fuzz");
    if !folder.join("Cargo.toml").exists() {
        bail!("{} has no fuzz targets", folder.display());
    }
    let mut fuzz = tools::FUZZ.command()?;
    // Coverage needs options of the compiler that are not stable; a sanitizer would also need another standard library.
    fuzz.current_dir(workspace::root())
        .env("RUSTC_BOOTSTRAP", "1");
    fuzz.args(["fuzz", "run", "--sanitizer", "none", target, "--"])
        .arg(format!("-max_total_time={seconds}"));
    process::show(&mut fuzz)
}

//! `cargo xtask check`: everything that can be said of the sources without running them.
//!
//! The usual tools, also for the workspace of the fuzz targets, then our own rules: `edges` (which crate may know which), `deciders` (what pure crates never touch),
//! `words` (one word per thing), `paths` (what the architecture speaks of exists), and reports: `sizes` (long files), `siblings` (scenarios that one engine has and another has not). The rules are also unit tests of this package, so that a plain
//! `cargo test --workspace` holds them.

mod deciders;
mod edges;
mod paths;
mod siblings;
mod sizes;
mod words;

use anyhow::Result;

use crate::steps::{Outcome, Steps};
use crate::{process, tools, workspace};

/// No choices: a check is the same for everybody.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args) -> Result<()> {
    let mut steps = Steps::new();
    add_to(&mut steps);
    steps.close()
}

/// Adds the checks to a list of steps.
pub fn add_to(steps: &mut Steps) {
    steps.run("format", || cargo(&["fmt", "--all", "--check"]));
    steps.run("clippy", || {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    });
    steps.run("fuzz targets", fuzz_targets);
    steps.run("docs", docs);
    steps.run("licences, bans, sources", deny);
    steps.run("unused dependencies", unused_dependencies);
    steps.run("rules of the house", rules);
}

fn cargo(args: &[&str]) -> Result<Outcome> {
    process::show(workspace::cargo().args(args))?;
    Ok(Outcome::Passed)
}

/// Whether the fuzz targets, a workspace of their own, compile. Nothing is linked, so that libFuzzer itself need not be.
fn fuzz_targets() -> Result<Outcome> {
    let mut command = workspace::cargo();
    command
        .args([
            "check",
            "--quiet",
            "--bins",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ])
        .env("CARGO_TARGET_DIR", workspace::target())
        .env("CUSTOM_LIBFUZZER_PATH", "/not/linked/libfuzzer.a");
    process::show(&mut command)?;
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome> {
    let mut command = workspace::cargo();
    command.args([
        "doc",
        "--quiet",
        "--no-deps",
        "--workspace",
        "--document-private-items",
    ]);
    process::show(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed)
}

/// Advisories are not checked here: their database lives outside the package registries.
fn deny() -> Result<Outcome> {
    let mut command = tools::DENY.command()?;
    command.current_dir(workspace::root()).args([
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);
    process::show(&mut command)?;
    Ok(Outcome::Passed)
}

fn unused_dependencies() -> Result<Outcome> {
    process::show(tools::SHEAR.command()?.current_dir(workspace::root()))?;
    Ok(Outcome::Passed)
}

fn rules() -> Result<Outcome> {
    let faults = faults()?;
    sizes::report()?;
    siblings::report()?;
    if faults.is_empty() {
        Ok(Outcome::Passed)
    } else {
        Ok(Outcome::Failed(faults.join("\n")))
    }
}

fn faults() -> Result<Vec<String>> {
    let mut faults = edges::faults(&workspace::metadata()?);
    faults.extend(deciders::faults()?);
    faults.extend(words::faults()?);
    faults.extend(paths::faults()?);
    Ok(faults)
}

/// The lines of a source file with their numbers, up to its unit tests.
fn lines_before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .map(|(at, line)| (at + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_keep_the_rules_of_the_house() {
        let faults = faults().unwrap();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }
}

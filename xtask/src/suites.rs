//! `cargo xtask suites`: the drivers' own tests through Forebay, beside a direct run.
//!
//! Each suite is played twice, on a server of its own each time: directly, then through `forebay` in transaction mode with two
//! backends for each user and database, lent in rotation, which a neighbour (`conformance/neighbour.py`) keeps leaving with every
//! setting changed. What passes directly has to pass through Forebay; what does not has a second try by itself, since many tests
//! are about time, and then needs a line in `suites/explained.txt`.
//!
//! `outcome` reads what the runners write, `verdict` compares, `fetch` gets tests and drivers, `python`, `node` and `rust` know how
//! tests of a language are run, `stage` is the servers.

mod explained;
mod fetch;
mod node;
mod outcome;
mod python;
mod rust;
mod stage;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use self::outcome::Outcomes;
use self::stage::Stage;
use self::verdict::Verdict;
use crate::postgres::{Access, Server};
use crate::steps::{heading, progress};
use crate::table::Table;
use crate::{cleanup, proxy, workspace};

/// Which suites, through how many backends.
#[derive(clap::Args)]
pub struct Args {
    /// Only these suites
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Major version of the database
    #[arg(long, default_value_t = 18)]
    version: u32,
    /// Database connections of each user in each database, lent in rotation
    #[arg(long, default_value_t = 2)]
    backends: u32,
    /// Tests of a suite from this folder, a checkout of the driver's repository, rather than from a registry; may be given more than once
    #[arg(long = "tests", value_name = "NAME=FOLDER")]
    tests: Vec<String>,
    /// Without a neighbour
    #[arg(long)]
    alone: bool,
}

/// A driver's suite.
pub struct Suite {
    /// As `--only` and the list of explanations name it.
    pub name: &'static str,
    /// Fetches tests and driver; a folder holds the tests where registries do not.
    pub prepare: fn(Option<&Path>) -> Result<Box<dyn Player>>,
}

/// Tests that are there and can be run.
pub trait Player {
    /// The driver's version, and what its tests are from if that is another one.
    fn version(&self) -> String;
    /// Makes what the tests expect to find on the server; gives the users whom they log in as besides the superuser, with their passwords.
    fn arrange(&self, server: &Server, access: &Access) -> Result<Vec<(String, String)>>;
    /// Plays all tests, or `only` some, and leaves what they wrote in `results`.
    fn play(&self, access: &Access, results: &Path, only: Option<&[String]>) -> Result<Outcomes>;
}

const SUITES: [Suite; 7] = [
    python::PSYCOPG,
    python::PSYCOPG2,
    python::ASYNCPG,
    node::NODE_POSTGRES,
    node::POSTGRES_JS,
    rust::TOKIO_POSTGRES,
    rust::POSTGRES,
];

/// What became of a suite.
enum Played {
    Compared(Verdict),
    /// Its tests cannot be had; why.
    Missing(String),
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let chosen = choose(&args.only)?;
    let folders = folders(&args.tests)?;
    heading("Building");
    let binary = proxy::build()?.canonicalize()?;
    let mut played = Vec::new();
    for suite in chosen {
        heading(suite.name);
        let tests = folders.iter().find(|(name, _)| name == suite.name);
        let one = one(args, suite, tests.map(|(_, folder)| &**folder), &binary)
            .with_context(|| format!("the suite {}", suite.name))?;
        played.push((suite.name, one));
        cleanup::wait_if_interrupted();
    }
    report(&played)
}

fn choose(only: &[String]) -> Result<Vec<&'static Suite>> {
    static ALL: [Suite; 7] = SUITES;
    let known = || ALL.iter().map(|suite| suite.name).collect::<Vec<_>>();
    for name in only {
        ensure!(
            known().contains(&&**name),
            "no suite {name}; there are {}",
            known().join(", ")
        );
    }
    let wanted = |suite: &&Suite| only.is_empty() || only.iter().any(|name| name == suite.name);
    Ok(ALL.iter().filter(wanted).collect())
}

fn folders(given: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let one = |text: &String| {
        let (name, folder) = text
            .split_once('=')
            .with_context(|| format!("not NAME=FOLDER: `{text}`"))?;
        choose(&[name.to_owned()])?;
        Ok((
            name.to_owned(),
            Path::new(folder)
                .canonicalize()
                .with_context(|| folder.to_owned())?,
        ))
    };
    given.iter().map(one).collect()
}

fn one(args: &Args, suite: &Suite, tests: Option<&Path>, binary: &Path) -> Result<Played> {
    let player = match (suite.prepare)(tests) {
        Ok(player) => player,
        Err(error) => return Ok(Played::Missing(format!("{error:#}"))),
    };
    progress(&format!("{} {}", suite.name, player.version()));
    let results = workspace::target().join("suites").join(suite.name);
    fs::remove_dir_all(&results).ok();
    let place = |name: &str| {
        let folder = results.join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };
    progress("directly");
    let stage = Stage::new(args.version, &*player)?;
    let direct = player.play(stage.direct(), &place("direct")?, None)?;
    drop(stage);
    ensure!(
        direct.passed() > 0,
        "no test passes directly; see {}",
        results.display()
    );
    progress(&format!(
        "{} pass; now through {} backends in rotation",
        direct.passed(),
        args.backends
    ));
    let stage = Stage::new(args.version, &*player)?;
    let through = stage.through(binary, args.backends, !args.alone)?;
    let mut forebay = player.play(&through.proxy.access, &place("forebay")?, None)?;
    let failing = verdict::lost(&direct, &forebay);
    if !failing.is_empty() {
        progress(&format!(
            "{} fail that pass directly: once more, by themselves",
            failing.len()
        ));
        forebay.second_try(player.play(&through.proxy.access, &place("again")?, Some(&failing))?);
    }
    let neighbour = through.close()?;
    progress(&neighbour);
    Ok(Played::Compared(verdict::compare(
        suite.name,
        player.version(),
        &direct,
        &forebay,
    )))
}

fn report(played: &[(&str, Played)]) -> Result<()> {
    let head = [
        "suite",
        "version",
        "direct",
        "through",
        "%",
        "explained",
        "to mend",
        "not explained",
        "at 2nd try",
    ];
    let mut table = Table::new(2, &head);
    let mut bad = Vec::new();
    for (name, one) in played {
        match one {
            Played::Compared(verdict) => {
                verdict.print();
                table.row(verdict.row());
                bad.extend(verdict.unexplained().map(|test| format!("{name}: {test}")));
            }
            Played::Missing(why) => {
                println!("\n{name} was NOT PLAYED: {why}");
                table.row(vec![(*name).into(), "NOT PLAYED".into()]);
            }
        }
    }
    println!("\n{}", table.plain());
    println!("outputs: {}", workspace::target().join("suites").display());
    if !bad.is_empty() {
        bail!(
            "{} tests pass directly and fail through Forebay, without an explanation",
            bad.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_chosen_by_name_and_an_unknown_name_is_told_the_others() {
        assert_eq!(choose(&[]).unwrap().len(), SUITES.len());
        let one = choose(&["asyncpg".into()]).unwrap();
        assert_eq!(
            one.iter().map(|suite| suite.name).collect::<Vec<_>>(),
            ["asyncpg"]
        );
        let error = choose(&["pgx".into()]).map(drop).unwrap_err().to_string();
        assert!(error.contains("tokio-postgres"), "{error}");
    }

    #[test]
    fn a_folder_of_tests_is_for_a_suite_that_exists() {
        assert!(folders(&["asyncpg".into()]).is_err());
        assert!(folders(&["pgx=/".into()]).is_err());
        assert_eq!(
            folders(&["asyncpg=/".into()]).unwrap(),
            [("asyncpg".to_owned(), PathBuf::from("/"))]
        );
    }
}

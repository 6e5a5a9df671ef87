//! A report, not yet a rule: behaviours that one engine has a scenario of and another has not, nor a `<engine>.skip` with the reason.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::workspace;

/// The engines that have scenarios.
const ENGINES: [&str; 2] = ["postgres", "mysql"];

/// How many names are shown at most.
const SHOWN_MAX: usize = 8;

/// Prints how many behaviours each engine lacks, and the first of them.
pub fn report() -> Result<()> {
    let files = workspace::files("scenarios")?;
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    for (engine, missing) in missing(&names) {
        let count = missing.len();
        let first: Vec<&str> = missing.into_iter().take(SHOWN_MAX).collect();
        eprintln!(
            "  {count} behaviours of scenarios/ have no {engine}.txt and no {engine}.skip: {} …",
            first.join(", ")
        );
    }
    Ok(())
}

/// Behaviours by the engine that has nothing to say of them.
fn missing(files: &[String]) -> BTreeMap<&'static str, BTreeSet<&str>> {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let mut parts = file.rsplit('/');
        if let (Some(name), Some(behaviour), Some(_)) = (parts.next(), parts.next(), parts.next())
            && let Some((engine, "txt" | "skip")) = name.split_once('.')
        {
            known.entry(behaviour).or_default().insert(engine);
        }
    }
    let lacks = |engine: &'static str| {
        let missing = known
            .iter()
            .filter(|(_, engines)| !engines.contains(engine));
        (engine, missing.map(|(behaviour, _)| *behaviour).collect())
    };
    let all = ENGINES.into_iter().map(lacks);
    all.filter(|(_, missing): &(_, BTreeSet<&str>)| !missing.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviour_is_missed_by_engines_that_have_neither_scenario_nor_reason() {
        let files = [
            "scenarios/README.md",
            "scenarios/listen/postgres.txt",
            "scenarios/listen/mysql.skip",
            "scenarios/ping/mysql.txt",
        ];
        let missing_of = |files: &[String]| {
            let missing = missing(files);
            missing
                .into_iter()
                .map(|(engine, missing)| (engine, missing.len()))
                .collect::<Vec<_>>()
        };
        let files = files.map(str::to_owned);
        assert_eq!(missing_of(&files), [("postgres", 1)]);
        assert_eq!(missing_of(&files[..2]), [("mysql", 1)]);
    }
}

//! `cargo xtask ledger`: the promises of docs/ledger/, held against the tests that prove them.
//!
//! A ledger is a Markdown file with tables `| id | behaviour | state | where |`. A state is `met`, `improved`, `declined` or
//! `open`. What is met or improved names, in back quotes, at least one test or file that proves it, and each of them exists;
//! what is declined or improved says in words why or how.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};

use crate::table::Table;
use crate::workspace;

const HEAD: [&str; 4] = ["id", "behaviour", "state", "where"];
const STATES: [&str; 4] = ["met", "improved", "declined", "open"];

/// What to print.
#[derive(Default, clap::Args)]
pub struct Args {
    /// Also list the rows that are open
    #[arg(long)]
    open: bool,
}

/// One promise.
#[derive(Debug, PartialEq)]
struct Row {
    line: usize,
    id: String,
    behaviour: String,
    state: String,
    place: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let names = Names::read()?;
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    let mut table = Table::new(1, &["ledger", "met", "improved", "declined", "open"]);
    for file in workspace::files("docs/ledger")? {
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else {
            continue;
        };
        let name = file.display().to_string();
        let rows = rows(&text);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            *counts.entry(&row.state).or_default() += 1;
            let twice = !ids.insert(row.id.clone());
            let found = faults_of(row, &names)
                .into_iter()
                .chain(twice.then(|| "its id is used twice".into()));
            faults.extend(found.map(|fault| format!("{name}:{}: {}: {fault}", row.line, row.id)));
            if args.open && row.state == "open" {
                println!("{}: {}", row.id, row.behaviour);
            }
        }
        if !rows.is_empty() {
            let count = |state: &&str| counts.get(*state).copied().unwrap_or(0).to_string();
            table.row(
                std::iter::once(name)
                    .chain(STATES.iter().map(count))
                    .collect(),
            );
        }
    }
    println!("{}", table.plain());
    if !faults.is_empty() {
        bail!(
            "{} rows of the ledger do not hold:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }
    Ok(())
}

/// The rows of every table with the ledger's head.
fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let cells = cells(line);
        if cells.len() < 4 {
            inside = false;
        } else if cells
            .iter()
            .map(|cell| cell.to_lowercase())
            .take(4)
            .eq(HEAD)
        {
            inside = true;
        } else if inside && !cells[0].starts_with("--") && !cells[0].starts_with(":-") {
            let mut cells = cells.into_iter();
            let mut next = || cells.next().unwrap_or_default();
            rows.push(Row {
                line: at + 1,
                id: next(),
                behaviour: next(),
                state: next(),
                place: next(),
            });
        }
    }
    rows
}

/// The cells of a table's line; `\|` inside a cell is not a border.
fn cells(line: &str) -> Vec<String> {
    let Some(inner) = line.trim().strip_prefix('|') else {
        return Vec::new();
    };
    let inner = inner
        .strip_suffix('|')
        .unwrap_or(inner)
        .replace("\\|", "\u{0}");
    inner
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

fn faults_of(row: &Row, names: &Names) -> Vec<String> {
    let mut faults = Vec::new();
    if row.id.is_empty() || row.behaviour.is_empty() {
        faults.push("a row has an id and a behaviour".into());
    }
    let proofs: Vec<&str> = row.place.split('`').skip(1).step_by(2).collect();
    let words = row.place.split('`').step_by(2).collect::<String>();
    match row.state.as_str() {
        "met" | "improved" if proofs.is_empty() => {
            faults.push(format!("`{}` needs a test, in back quotes", row.state))
        }
        "declined" if words.trim().len() < 10 => faults.push("`declined` needs a reason".into()),
        state if !STATES.contains(&state) => faults.push(format!(
            "`{state}` is no state; there are {}",
            STATES.join(", ")
        )),
        _ => {}
    }
    let missing = proofs.iter().filter(|proof| !names.has(proof));
    faults.extend(missing.map(|proof| format!("`{proof}` is neither a test nor a file")));
    faults
}

/// What a row may name: functions of Rust and Python files, and paths.
struct Names(BTreeSet<String>);

impl Names {
    fn read() -> Result<Names> {
        let mut names = BTreeSet::new();
        for file in workspace::files(".")? {
            let code = file
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "py");
            let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else {
                continue;
            };
            names.extend(text.lines().filter(|_| code).filter_map(function_name));
        }
        Ok(Names(names))
    }

    /// `some_test`, `module::some_test`, `scenarios/some-folder`, `conformance/file.py`.
    fn has(&self, name: &str) -> bool {
        let last = name
            .rsplit("::")
            .next()
            .unwrap_or(name)
            .trim_end_matches("()");
        let path = name.contains('/')
            && !name.contains("..")
            && workspace::root().join(Path::new(name)).exists();
        path || self.0.contains(last)
    }
}

fn function_name(line: &str) -> Option<String> {
    let code = line.trim_start();
    let rest = ["fn ", "def ", "pub fn ", "async fn ", "async def "]
        .iter()
        .find_map(|word| code.strip_prefix(word))?;
    let name = rest
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()?;
    (!name.is_empty()).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: &str = "# Ledger\n\n| id | behaviour | state | where |\n|---|---|---|---|\n| a-1 | does this | met | `proves_it` |\n\
        | a-2 | `x \\| y` | declined | nobody needs it here |\n\nother | table\n";

    #[test]
    fn rows_are_read_from_tables_with_the_ledgers_head_alone() {
        let rows = rows(LEDGER);
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].line, rows[0].id.as_str(), rows[0].state.as_str()),
            (5, "a-1", "met")
        );
        assert_eq!(rows[1].behaviour, "`x | y`");
    }

    #[test]
    fn a_promise_that_names_no_existing_test_is_a_fault() {
        let names = Names(BTreeSet::from(["proves_it".into()]));
        let row = |state: &str, place: &str| Row {
            line: 1,
            id: "a".into(),
            behaviour: "b".into(),
            state: state.into(),
            place: place.into(),
        };
        assert!(faults_of(&row("met", "`pool::proves_it`"), &names).is_empty());
        assert!(faults_of(&row("met", "`gone`"), &names)[0].contains("neither a test nor a file"));
        assert!(faults_of(&row("met", "surely"), &names)[0].contains("needs a test"));
        assert!(faults_of(&row("declined", ""), &names)[0].contains("needs a reason"));
        assert!(faults_of(&row("maybe", ""), &names)[0].contains("is no state"));
        assert!(faults_of(&row("open", ""), &names).is_empty());
    }

    #[test]
    fn the_ledgers_of_this_repository_hold() {
        run(&Args { open: false }).unwrap();
    }
}

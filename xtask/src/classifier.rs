//! `cargo xtask classifier`: Forebay's reading of SQL, held against PostgreSQL's own parser.
//!
//! `forebay-testkit`'s program `verdicts` says what the classifier makes of texts; `conformance/classify.py` makes the texts,
//! asks PostgreSQL's parser (pglast, from PyPI) and compares. Texts come from a grammar and a seed, from the SQL that servers
//! of this machine bring, and from PostgreSQL's regression suite where Debian's source of it can be had.

use std::process::Command;

use anyhow::Result;

use crate::{install, process, workspace};

/// Which texts.
#[derive(clap::Args)]
pub struct Args {
    /// The short form that continuous integration runs: fewer texts, nothing fetched but the parser
    #[arg(long)]
    quick: bool,
    /// What generated texts are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many texts are generated
    #[arg(long)]
    count: Option<u64>,
    /// Further files or directories of SQL
    #[arg(long, value_name = "PATH")]
    corpus: Vec<String>,
}

impl Args {
    /// As continuous integration runs it.
    pub fn quick() -> Args {
        Args {
            quick: true,
            seed: 1,
            count: None,
            corpus: Vec::new(),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let build = [
        "build",
        "-q",
        "--profile",
        "quick",
        "-p",
        "forebay-testkit",
        "--bin",
        "verdicts",
    ];
    process::show(workspace::cargo().args(build))?;
    let mut python = Command::new(install::program("python3", "python3")?);
    python
        .current_dir(workspace::root())
        .arg("conformance/classify.py")
        .arg("--verdicts")
        .arg(workspace::target().join("quick/verdicts"))
        .arg(format!("--seed={}", args.seed));
    if args.quick {
        python.arg("--quick");
    }
    if let Some(count) = args.count {
        python.arg(format!("--count={count}"));
    }
    for path in &args.corpus {
        python.arg("--corpus").arg(path);
    }
    process::show(&mut python)
}

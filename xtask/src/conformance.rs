//! `cargo xtask conformance`: real databases and real drivers through the real binary; the cases are in `conformance/`.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

use crate::{install, process, proxy, workspace};

/// Which cases.
#[derive(clap::Args)]
pub struct Args {
    /// The engine to test
    #[arg(default_value = "postgres")]
    engine: String,
    /// The short form that continuous integration runs
    #[arg(long)]
    quick: bool,
    /// Further arguments for conformance/run.py
    #[arg(last = true)]
    more: Vec<String>,
}

impl Args {
    /// As continuous integration runs it.
    pub fn quick(engine: &str) -> Args {
        Args {
            engine: engine.into(),
            quick: true,
            more: Vec::new(),
        }
    }
}

/// Where the cases are run from.
pub fn script() -> PathBuf {
    workspace::root().join("conformance/run.py")
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if !script().exists() {
        bail!("{} is missing", script().display());
    }
    let binary = proxy::build()?
        .canonicalize()
        .context("the forebay binary")?;
    let mut python = Command::new(install::program("python3", "python3")?);
    python
        .current_dir(workspace::root())
        .arg(script())
        .arg(&args.engine)
        .env("FOREBAY_BIN", binary);
    if args.quick {
        python.arg("--quick");
    }
    process::show(python.args(&args.more))
}

//! Where things are: the repository's root, the target directory, what `cargo metadata` says of our packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The root of the repository.
pub fn root() -> PathBuf {
    // Set by `cargo run`; the path at build time serves a binary that is started by hand.
    let here =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here)
        .parent()
        .expect("xtask is a folder of the repository")
        .to_path_buf()
}

/// Where builds and our caches go.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Our cache of servers and tools: deleted with `target`, made again when missing.
pub fn cache() -> PathBuf {
    target().join("forebay-servers")
}

/// `cargo`, in the root of the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.current_dir(root());
    // `cargo run` sets these for us; a nested cargo would rebuild what looks at them.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// What cargo knows of the workspace: our own packages only.
pub fn metadata() -> Result<Value> {
    let text = process::capture(cargo().args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--offline",
    ]))?;
    serde_json::from_str(&text).context("the output of `cargo metadata`")
}

/// Whether a package has a target of this kind (`bin`, `test`, …) and name.
pub fn has_target(metadata: &Value, package: &str, kind: &str, name: &str) -> bool {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages
        .filter(|found| found["name"] == package)
        .flat_map(|found| found["targets"].as_array().into_iter().flatten());
    targets
        .filter(|target| target["name"] == name)
        .any(|target| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|k| k == kind))
        })
}

/// All files under `folder` (relative to the root) that git knows or would add, relative to the root.
pub fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        folder,
    ]);
    let list = process::capture(&mut git)?;
    Ok(list
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect())
}

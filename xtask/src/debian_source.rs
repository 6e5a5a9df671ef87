//! Upstream sources as Debian carries them, fetched with `apt-get source`; nothing of them is committed.
//!
//! The suites stable, bookworm with its security updates, and sid are looked through, by an apt with folders of its own.
//! Their binary packages are `debian_tree`'s.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::apt::Apt;
use crate::process;

/// Where sources are looked for.
const PLACES: [&str; 4] = [
    "debian stable main",
    "debian bookworm main",
    "debian sid main",
    "debian-security bookworm-security main",
];

/// A package's upstream archive.
pub struct Source {
    /// Debian's version.
    pub version: String,
    /// The archive, in the folder that was given.
    pub archive: PathBuf,
}

/// Fetches the upstream archive of a source or binary package into `folder`, of a version that starts as `wanted` says if there is one.
pub fn fetch(package: &str, wanted: &str, folder: &Path) -> Result<Source> {
    let apt = Apt::new(folder, "deb-src", &PLACES)?;
    // One place that cannot be read leaves the others.
    process::capture(apt.command("apt-get").args(["-q", "update"]))?;
    let shown = process::capture(apt.command("apt-cache").args(["showsrc", package]))?;
    let mut why = format!("{package} is in no list");
    // A version can be gone from the mirror while a list still names it; so can the parts of a source of several parts, of which we want the first.
    for version in in_order(&shown, wanted) {
        let one = format!("{package}={version}");
        let arguments = ["-q", "source", "--download-only", "--tar-only", &one];
        if let Err(error) = process::capture(apt.command("apt-get").args(arguments)) {
            why = error.to_string();
        }
        if let Some(archive) = archive(folder)? {
            fs::remove_dir_all(folder.join("apt"))?;
            return Ok(Source {
                version: version.into(),
                archive,
            });
        }
    }
    bail!("no source package: {why}")
}

/// The versions that a list names, first those that are wanted.
fn in_order<'a>(shown: &'a str, wanted: &str) -> Vec<&'a str> {
    let versions = shown
        .lines()
        .filter_map(|line| line.strip_prefix("Version: "));
    let (mut first, others): (Vec<&str>, Vec<&str>) =
        versions.partition(|version| version.starts_with(wanted));
    first.extend(others);
    first
}

fn archive(folder: &Path) -> Result<Option<PathBuf>> {
    let files = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut archives = files.filter(|path| {
        let name = path.to_string_lossy();
        name.contains(".orig.tar.") && !name.ends_with(".asc")
    });
    Ok(archives.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_version_is_tried_first_and_the_others_after_it() {
        let shown = "Package: x\nVersion: 15.1-1\n\nPackage: x\nVersion: 18.6-2\nVersion: 18.4-1\n";
        assert_eq!(in_order(shown, "18.6"), ["18.6-2", "15.1-1", "18.4-1"]);
        assert_eq!(in_order(shown, ""), ["15.1-1", "18.6-2", "18.4-1"]);
    }
}

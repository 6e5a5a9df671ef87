//! Upstream sources as Debian carries them, fetched with `apt-get source`; nothing of them is committed.
//!
//! It works without root with folders of its own, and knows the mirrors of the machine by their own lists, to which the suites
//! stable, stable-security and sid are added as sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{install, process};

/// Where Debian keeps packages, unless `FOREBAY_DEBIAN_MIRROR` names another place.
const MIRROR: &str = "http://deb.debian.org";

/// A package's upstream archive.
pub struct Source {
    /// Debian's version.
    pub version: String,
    /// The archive, in the folder that was given.
    pub archive: PathBuf,
}

/// Fetches the upstream archive of a source or binary package into `folder`, of a version that starts as `wanted` says if there is one.
pub fn fetch(package: &str, wanted: &str, folder: &Path) -> Result<Source> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let config = apt_config(folder)?;
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &config).current_dir(folder);
        command
    };
    process::capture(apt("apt-get").args(["-q", "update"]))?;
    let shown = process::capture(apt("apt-cache").args(["showsrc", package]))?;
    let mut why = format!("{package} is in no list");
    // A version can be gone from the mirror while a list still names it; so can the parts of a source of several parts, of which we want the first.
    for version in in_order(&shown, wanted) {
        let one = format!("{package}={version}");
        let arguments = ["-q", "source", "--download-only", "--tar-only", &one];
        if let Err(error) = process::capture(apt("apt-get").args(arguments)) {
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

/// An apt that has nothing to do with the machine's own.
fn apt_config(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("apt");
    for place in ["lists/partial", "cache/archives/partial", "etc/apt.conf.d"] {
        fs::create_dir_all(root.join(place))?;
    }
    fs::write(root.join("status"), "")?;
    let mirror = std::env::var("FOREBAY_DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.into());
    let keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
    let places = [
        "debian stable main",
        "debian bookworm main",
        "debian sid main",
        "debian-security bookworm-security main",
    ];
    let lines = places.map(|place| format!("deb-src {keys} {mirror}/{place}\n"));
    fs::write(root.join("etc/sources.list"), lines.concat())?;
    let shown = root.display();
    let config = root.join("apt.conf");
    let text = format!(
        "Dir::Etc \"{shown}/etc\"; Dir::Etc::Parts \"{shown}/etc/apt.conf.d\"; Dir::State::Lists \"{shown}/lists\";\n\
         Dir::State::Status \"{shown}/status\"; Dir::Cache \"{shown}/cache\"; Acquire::Languages \"none\";\n\
         Acquire::Check-Valid-Until \"false\"; Acquire::Retries \"3\"; APT::Sandbox::User \"{}\";\n",
        if install::is_root() { "root" } else { "" }
    );
    fs::write(&config, text)?;
    Ok(config)
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

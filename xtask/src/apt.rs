//! An apt that has nothing to do with the machine's own: sources, lists and package status in a folder of its own.
//!
//! It needs no root and installs nothing: it downloads what Debian's archive has, checked against Debian's keys. A frozen
//! mirror's lists are past their date, so dates are not looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{install, process};

/// Where Debian keeps packages, unless `FOREBAY_DEBIAN_MIRROR` names another place.
const MIRROR: &str = "http://deb.debian.org";

/// Debian's keys, from its package `debian-archive-keyring`.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Lists and downloads in a folder.
pub struct Apt {
    config: PathBuf,
    root: PathBuf,
    mirror: String,
}

impl Apt {
    /// Makes one in `folder/apt`; `kind` is `deb` or `deb-src`, a place is an archive with a suite and a component.
    pub fn new(folder: &Path, kind: &str, places: &[&str]) -> Result<Apt> {
        let root = folder.join("apt");
        for place in ["lists/partial", "cache/archives/partial", "etc/apt.conf.d"] {
            let made = fs::create_dir_all(root.join(place));
            made.with_context(|| format!("cannot make {}", root.display()))?;
        }
        fs::write(root.join("status"), "")?;
        let mirror = std::env::var("FOREBAY_DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.into());
        let line = |place: &&str| format!("{kind} [signed-by={KEYS}] {mirror}/{place}\n");
        let lines: String = places.iter().map(line).collect();
        fs::write(root.join("etc/sources.list"), lines)?;
        let shown = root.display();
        let config = root.join("apt.conf");
        let text = format!(
            "Dir::Etc \"{shown}/etc\"; Dir::Etc::Parts \"{shown}/etc/apt.conf.d\"; Dir::State::Lists \"{shown}/lists\";\n\
             Dir::State::Status \"{shown}/status\"; Dir::Cache \"{shown}/cache\"; Dir::Log \"{shown}\"; Acquire::Languages \"none\";\n\
             Acquire::PDiffs \"false\"; Acquire::Check-Valid-Until \"false\"; Acquire::Retries \"3\"; APT::Sandbox::User \"{}\";\n\
             APT::Install-Recommends \"false\";\n",
            if install::is_root() { "root" } else { "" }
        );
        fs::write(&config, text)?;
        Ok(Apt {
            config,
            root,
            mirror,
        })
    }

    /// A program of apt's, that works here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", &self.config)
            .env("LC_ALL", "C")
            .current_dir(self.root.parent().unwrap_or(&self.root));
        command
    }

    /// Reads the lists of all places, all of which must be there; the error says what to do.
    pub fn update(&self) -> Result<()> {
        self.can_work()?;
        let mut update = self.command("apt-get");
        update.args(["-q", "-o", "APT::Update::Error-Mode=any", "update"]);
        let finished = process::finish(&mut update)?;
        if finished.status.success() {
            return Ok(());
        }
        bail!("{}", out_of_reach(&self.mirror, &finished.stderr));
    }

    /// Where downloaded packages lie.
    pub fn archives(&self) -> PathBuf {
        self.root.join("cache/archives")
    }

    /// Where it downloads from.
    pub fn mirror(&self) -> &str {
        &self.mirror
    }

    /// What is missing on the machine, if anything.
    fn can_work(&self) -> Result<()> {
        for (program, package) in [("apt-get", "apt"), ("dpkg-deb", "dpkg")] {
            if install::find(program).is_none() {
                bail!(
                    "{program} is missing (Debian's package {package}): nothing can be fetched from Debian's archive here"
                );
            }
        }
        if !Path::new(KEYS).exists() && !install::debian(&["debian-archive-keyring"])? {
            bail!(
                "{KEYS} is missing; install it (`apt-get install debian-archive-keyring`) and run this again"
            );
        }
        Ok(())
    }
}

/// What went wrong, in apt's own words without its repetitions, and what to do about it.
pub fn out_of_reach(mirror: &str, said: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in said.lines().filter(|line| line.starts_with(['E', 'W'])) {
        if !lines.contains(&line) && lines.len() < 4 {
            lines.push(line);
        }
    }
    format!(
        "Debian's archive cannot be read at {mirror}:\n{}\n\
         See to the network (apt takes a proxy from `http_proxy`), or name a mirror that can be reached in \
         FOREBAY_DEBIAN_MIRROR (the URL above `debian/`), and run this again",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_out_of_reach_is_told_once_with_what_to_do() {
        let said =
            "W: noise\nE: Failed to fetch x\nE: Failed to fetch x\nReading package lists...\n";
        let text = out_of_reach("http://mirror", said);
        assert_eq!(text.matches("Failed to fetch x").count(), 1);
        assert!(!text.contains("Reading"), "{text}");
        assert!(text.contains("http://mirror") && text.contains("FOREBAY_DEBIAN_MIRROR"));
    }
}

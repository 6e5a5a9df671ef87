//! Which programs to use: those that a variable names, fetched ones, or ones to be fetched.
//!
//! Searched in this order: `FOREBAY_MYSQL_BIN` or `FOREBAY_MARIADB_BIN`, our cache, Debian's archive. The machine's own
//! installation is not looked at: its server is the machine's, with its own configuration and rules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::first_with;
use super::logins::LIBRARIES;
use super::release::{Family, Release, Version};
use crate::debian_tree::{self, Tree};
use crate::place::User;
use crate::process;
use crate::steps::progress;

/// One installation.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Family and number.
    pub version: Version,
    /// What starts a server.
    daemon: PathBuf,
    /// What talks to one.
    pub client: PathBuf,
    /// The folder that holds `share` and `lib`.
    usr: PathBuf,
    /// Where it was unpacked, if it was.
    tree: Option<Tree>,
}

impl Programs {
    /// Finds an installation or fetches one.
    pub fn find_or_fetch(release: &Release) -> Result<Programs> {
        if let Some(named) = Programs::named(release)? {
            return Ok(named);
        }
        let tree =
            Tree::find_or_fetch(release.packages()?).map_err(|why| missing(release, &why))?;
        Programs::fitting(&tree, release)
    }

    /// Fetches what Debian's archive has now, whatever is there.
    pub fn fetch(release: &Release) -> Result<Programs> {
        let tree = debian_tree::fetch(release.packages()?).map_err(|why| missing(release, &why))?;
        Programs::fitting(&tree, release)
    }

    fn fitting(tree: &Tree, release: &Release) -> Result<Programs> {
        let programs = Programs::unpacked(tree, release.family)?;
        if !release.fits(&programs.version) {
            bail!(
                "wanted is {release}, there is {}: `cargo xtask db fetch {}` fetches what Debian has now, {} names another's folder",
                programs.version,
                release.family.scheme(),
                release.family.variable()
            );
        }
        Ok(programs)
    }

    fn unpacked(tree: &Tree, family: Family) -> Result<Programs> {
        let [daemon, client] = names(family).map(|names| tree.program(names[0]));
        Programs::at(daemon, client, tree.usr(), Some(tree.clone()))
    }

    /// The installation that the family's variable names.
    fn named(release: &Release) -> Result<Option<Programs>> {
        let variable = release.family.variable();
        let Some(bin) = std::env::var_os(variable).map(PathBuf::from) else {
            return Ok(None);
        };
        let usr = bin.parent().unwrap_or(&bin).to_path_buf();
        let folders = [bin, usr.join("bin")];
        let find = |names: &[&str]| {
            let found = names.iter().find_map(|name| first_with(&folders, name));
            found.with_context(|| format!("{variable} names a folder without {}", names[0]))
        };
        let [daemon, client] = names(release.family);
        let programs = Programs::at(find(daemon)?, find(client)?, usr, None)?;
        if !release.fits(&programs.version) {
            bail!(
                "wanted is {release}, but {variable} names {}",
                programs.version
            );
        }
        Ok(Some(programs))
    }

    fn at(daemon: PathBuf, client: PathBuf, usr: PathBuf, tree: Option<Tree>) -> Result<Programs> {
        let said = process::capture(Command::new(&daemon).args(["--no-defaults", "--version"]))?;
        let version = Version::read(&said)
            .with_context(|| format!("{} says no version: {said}", daemon.display()))?;
        Ok(Programs {
            version,
            daemon,
            client,
            usr,
            tree,
        })
    }

    /// The server, told where its files are.
    pub fn server(&self) -> Command {
        let mut command = Command::new(&self.daemon);
        command
            .current_dir("/")
            .arg("--no-defaults")
            .arg(option("basedir", &self.usr));
        if let Some(share) = self.share() {
            command.arg(option("lc-messages-dir", &share));
            command.arg(option("character-sets-dir", &share.join("charsets")));
        }
        if let Some(plugins) = self.plugins() {
            command.arg(option("plugin-dir", &plugins));
        }
        command
    }

    /// Where messages, character sets and the scripts of the system tables lie, unless the server knows by itself.
    pub fn share(&self) -> Option<PathBuf> {
        let share = self.usr.join("share");
        let own = share.join(self.version.family.scheme());
        let folders = [own, share.join("mysql"), share];
        let charsets = first_with(&folders, "charsets")?;
        charsets.parent().map(Path::to_path_buf)
    }

    fn plugins(&self) -> Option<PathBuf> {
        let lib = self.usr.join("lib");
        first_with(&[lib.join("mysql"), lib], "plugin")
    }

    /// Options that load what the server has for checking passwords. `INSTALL SONAME` is no way to load MariaDB's
    /// caching_sha2_password: only at its start does a server make the key pair without which the library gives up.
    pub fn loading(&self) -> impl Iterator<Item = String> {
        let is_mariadb = self.version.family == Family::MariaDb;
        let folder = self.plugins().filter(|_| is_mariadb);
        let libraries = LIBRARIES.into_iter();
        libraries
            .filter(move |library| {
                let file = format!("{library}.so");
                folder
                    .as_ref()
                    .is_some_and(|folder| folder.join(file).exists())
            })
            .map(|library| format!("--plugin-load-add={library}"))
    }

    /// The same programs at a place that the server's user can reach: where they are, or a copy in `folder`.
    pub fn reachable_by(&self, user: Option<User>, folder: &Path) -> Result<Programs> {
        let Some(user) = user else {
            return Ok(self.clone());
        };
        let mut test = Command::new(&self.daemon);
        test.args(["--no-defaults", "--version"]).current_dir("/");
        let reached = process::finish(user.runs(&mut test));
        if reached.is_ok_and(|finished| finished.status.success()) {
            return Ok(self.clone());
        }
        let Some(tree) = &self.tree else {
            bail!(
                "a database server does not run as root, and {} is where no other user can run it",
                self.daemon.display()
            );
        };
        progress("putting the server's programs where an unprivileged user can run them");
        let copy = tree.copy_to(&folder.join("programs"))?;
        Programs::unpacked(&copy, self.version.family)
    }
}

/// What servers and clients of a family are called, the usual name first.
fn names(family: Family) -> [&'static [&'static str]; 2] {
    match family {
        Family::MySql => [&["mysqld"], &["mysql"]],
        Family::MariaDb => [&["mariadbd", "mysqld"], &["mariadb", "mysql"]],
    }
}

/// `--name=path`.
pub fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

fn missing(release: &Release, why: &Error) -> Error {
    anyhow!(
        "there is no {release} here, and it could not be fetched. {why:#}.\n\
         Or name the folder of a `{}` that you have in {}",
        names(release.family)[0][0],
        release.family.variable()
    )
}

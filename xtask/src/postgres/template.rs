//! The data directory that private servers are copied from: made once per version, kept in the cache.
//!
//! `initdb` takes most of a second, a copy almost nothing. The roles are in the template, with passwords made at random
//! for this machine and kept beside it in a file that only its owner reads: a server on loopback is reachable by every
//! user of the machine, and a superuser may run programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Binaries;
use super::server::{self, Launch};
use crate::place::{self, User, random_password};
use crate::{cleanup, process, psql, steps, workspace};

/// Passwords of the two roles of a template.
pub struct Template {
    /// The data directory to copy.
    pub data: PathBuf,
    /// Of `postgres`.
    pub superuser_password: String,
    /// Of `app`.
    pub app_password: String,
}

impl Template {
    /// The template for these programs, made when it is missing.
    pub fn find_or_make(binaries: &Binaries, user: Option<User>) -> Result<Template> {
        let version = binaries
            .version
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        let name = format!("template-{}", version.trim_end_matches('-'));
        let folder = workspace::cache().join(name);
        if !folder.join("complete").exists() {
            make(binaries, user, &folder)?;
        }
        let read = |role: &str| -> Result<String> {
            let path = folder.join(role);
            fs::read_to_string(&path).with_context(|| {
                format!(
                    "cannot read {} (delete its folder to make it anew)",
                    path.display()
                )
            })
        };
        Ok(Template {
            data: folder.join("data"),
            superuser_password: read("postgres")?,
            app_password: read("app")?,
        })
    }
}

fn make(binaries: &Binaries, user: Option<User>, folder: &Path) -> Result<()> {
    steps::progress(&format!("preparing PostgreSQL {} (once)", binaries.version));
    let place = place::private_folder()?;
    let data = place.path.join("data");
    let passwords = (random_password()?, random_password()?);
    let password_file = place.path.join("password");
    fs::write(&password_file, &passwords.0)?;
    if let Some(user) = user {
        user.owns(&place.path)?;
    }
    initialise(binaries, user, &data, &password_file)?;
    let launch = Launch {
        binaries,
        user,
        data: &data,
        place: &place.path,
    };
    let (running, port) = server::launch(&launch, None, &[])?;
    let superuser = server::access(port, "postgres", &passwords.0, "postgres");
    let roles = format!("CREATE ROLE app LOGIN PASSWORD '{}'", passwords.1);
    psql::ask(binaries, &superuser, &roles)?;
    psql::ask(binaries, &superuser, "CREATE DATABASE app OWNER app")?;
    drop(running);
    keep(&data, &passwords, folder)
}

fn initialise(
    binaries: &Binaries,
    user: Option<User>,
    data: &Path,
    password_file: &Path,
) -> Result<()> {
    let mut initdb = binaries.command(&binaries.bin.join("initdb"));
    initdb
        .current_dir("/")
        .arg("-D")
        .arg(data)
        .arg("--pwfile")
        .arg(password_file);
    initdb.args([
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    if let Some(user) = user {
        user.runs(&mut initdb);
    }
    process::capture(&mut initdb).map(drop)
}

/// Moves a finished data directory into the cache, complete or not at all.
fn keep(data: &Path, passwords: &(String, String), folder: &Path) -> Result<()> {
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let remove = part.clone();
    let _part = cleanup::guard(move || drop(fs::remove_dir_all(remove)));
    process::capture(
        Command::new("cp")
            .arg("-a")
            .arg(data)
            .arg(part.join("data")),
    )?;
    for (role, password) in [("postgres", &passwords.0), ("app", &passwords.1)] {
        place::write_private(&part.join(role), password)?;
    }
    fs::write(part.join("complete"), "")?;
    // When another run was faster, its template serves as well as ours.
    if fs::rename(&part, folder).is_err() && !folder.join("complete").exists() {
        fs::remove_dir_all(folder).ok();
        fs::rename(&part, folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(())
}

/// How long a server may take to accept connections; seconds on a busy machine, never minutes.
pub const START_PATIENCE: Duration = Duration::from_secs(60);

//! The suites of rust's tokio-postgres and postgres, which crates.io carries with the crates.
//!
//! The tests have their port, and that the superuser needs no password, written into them: in a working copy both are replaced by those of
//! the server at hand, and it is compiled for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::outcome::{self, Outcomes};
use super::{Player, Suite, fetch};
use crate::postgres::{Access, Server};
use crate::process::{self, Running};
use crate::{psql, workspace};

/// The longest that compiling and running may take.
const LONGEST: Duration = Duration::from_secs(20 * 60);

/// Users whom the tests log in as, with this password.
const USERS: [&str; 3] = ["pass_user", "md5_user", "scram_user"];
const PASSWORD: &str = "password";

/// tokio-postgres.
pub const TOKIO_POSTGRES: Suite = Suite {
    name: "tokio-postgres",
    prepare: |tests| prepare(&TOKIO, tests),
};

/// postgres, which waits for the answers of tokio-postgres.
pub const POSTGRES: Suite = Suite {
    name: "rust-postgres",
    prepare: |tests| prepare(&BLOCKING, tests),
};

/// A crate, and where its tests are.
struct Crate {
    name: &'static str,
    version: &'static str,
    /// What of it speaks of servers.
    written: &'static str,
    /// What cargo calls them.
    target: &'static [&'static str],
}

const TOKIO: Crate = Crate {
    name: "tokio-postgres",
    version: "0.7.18",
    written: "tests/test",
    target: &["--all-features", "--test", "test"],
};

const BLOCKING: Crate = Crate {
    name: "postgres",
    version: "0.19.14",
    written: "src/test.rs",
    target: &["--lib"],
};

/// A crate with its tests, and a copy of it in which they are made to fit.
struct Tests {
    of: &'static Crate,
    published: PathBuf,
    folder: PathBuf,
}

fn prepare(of: &'static Crate, tests: Option<&Path>) -> Result<Box<dyn Player>> {
    let published = match tests {
        Some(folder) => folder.join(of.name),
        None => fetch::krate(of.name, of.version)?,
    };
    let folder = workspace::cache().join(format!("suites-{}-work", of.name));
    fetch::copy_afresh(&published, &folder)?;
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    // Not a part of the workspace above our cache.
    fs::write(&manifest, format!("{text}\n[workspace]\n"))?;
    Ok(Box::new(Tests {
        of,
        published,
        folder,
    }))
}

impl Player for Tests {
    fn version(&self) -> String {
        self.of.version.into()
    }

    /// What the repository's own `docker/sql_setup.sh` makes, but for users without passwords.
    fn arrange(&self, server: &Server, _access: &Access) -> Result<Vec<(String, String)>> {
        for user in USERS {
            psql::ask(
                &server.binaries,
                &server.superuser,
                &format!("CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'"),
            )?;
        }
        for extension in ["hstore", "citext", "ltree"] {
            psql::ask(
                &server.binaries,
                &server.superuser,
                &format!("CREATE EXTENSION {extension}"),
            )?;
        }
        Ok(USERS.map(|user| (user.into(), PASSWORD.into())).to_vec())
    }

    fn play(&self, access: &Access, results: &Path, only: Option<&[String]>) -> Result<Outcomes> {
        let written = self.folder.join(self.of.written);
        fit_all(&self.published.join(self.of.written), &written, access)?;
        let output = fs::File::create(results.join("output"))?;
        let mut cargo = workspace::cargo();
        cargo
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"));
        access.set_environment(&mut cargo);
        cargo
            .arg("test")
            .args(self.of.target)
            .args(["--", "--test-threads=2"]);
        if let Some(names) = only {
            cargo.arg("--exact").args(names);
        }
        let running = Running::start(
            cargo.stdout(output.try_clone()?).stderr(output),
            libc::SIGTERM,
        )?;
        let ended = process::poll(LONGEST, || Ok(running.ended()))?;
        ensure!(ended.is_some(), "it hung: see {}", results.display());
        Ok(outcome::of_libtest(&fs::read_to_string(
            results.join("output"),
        )?))
    }
}

/// Writes what was published anew, made to fit.
fn fit_all(from: &Path, to: &Path, access: &Access) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)?.filter_map(Result::ok) {
            fit_all(&entry.path(), &to.join(entry.file_name()), access)?;
        }
    } else if from.file_name().is_some_and(|name| name != "parse.rs") {
        // `parse.rs` is about connection strings and connects to nothing.
        fs::write(to, fit(&fs::read_to_string(from)?, access))?;
    }
    Ok(())
}

/// The port, and the superuser's password and database wherever it is named.
fn fit(text: &str, access: &Access) -> String {
    let port = access.port.to_string();
    let superuser = format!("user=postgres password={}", access.password);
    text.replace("5433", &port)
        .replace("user=postgres", &superuser)
        .replace("localhost", "127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_made_to_fit_the_server_at_hand() {
        let access = Access {
            host: "127.0.0.1".into(),
            port: 6000,
            user: "postgres".into(),
            password: "p".into(),
            database: "d".into(),
            sslmode: "disable",
        };
        let text = "connect(\"host=localhost port=5433 user=postgres\"); connect(\"user=pass_user password=password\")";
        let fitted = "connect(\"host=127.0.0.1 port=6000 user=postgres password=p\"); connect(\"user=pass_user password=password\")";
        assert_eq!(fit(text, &access), fitted);
    }
}

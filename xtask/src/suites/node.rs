//! The suites of node-postgres and postgres.js: npm's packages hold no tests.
//!
//! Those of node-postgres (`pg`, `pg-pool`, `pg-cursor`) come from Debian's source package, or from a checkout that `--tests` names;
//! those of postgres.js from a checkout only. The drivers are npm's, of the same version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::outcome::{self, Outcomes};
use super::{Player, Suite, fetch};
use crate::postgres::{Access, Server};
use crate::process::{self, Running};
use crate::{install, psql};

/// The longest that one script may take.
const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_POSTGRES_JS: Duration = Duration::from_secs(10 * 60);

/// Debian's version of node-postgres to be tried first.
const WANTED: &str = "8.16.3";

/// What the tests of node-postgres require besides their drivers.
const BESIDE: [&str; 7] = [
    "async@2.6.4",
    "bluebird@3.7.2",
    "co@4.6.0",
    "pg-copy-streams@0.3.0",
    "mocha@10.8.2",
    "expect.js@0.3.1",
    "lodash@4.17.21",
];

/// pg, pg-pool and pg-cursor.
pub const NODE_POSTGRES: Suite = Suite {
    name: "node-postgres",
    prepare: node_postgres,
};

/// postgres.js.
pub const POSTGRES_JS: Suite = Suite {
    name: "postgres.js",
    prepare: postgres_js,
};

/// Packages below `node_modules` with their tests in them.
struct NodePostgres {
    version: String,
    modules: PathBuf,
}

fn node_postgres(tests: Option<&Path>) -> Result<Box<dyn Player>> {
    let source = match tests {
        Some(folder) => folder.to_owned(),
        None => {
            let fetched = fetch::debian("node-postgres", WANTED);
            fetched.context("npm's packages have no tests, and Debian's sources could not be had; name a checkout with --tests node-postgres=FOLDER")?.0
        }
    };
    let packages = source.join("packages");
    let version = |name: &str| fetch::stated(&packages.join(name).join("package.json"), "version");
    let mut wanted: Vec<String> = BESIDE.map(String::from).to_vec();
    for name in ["pg", "pg-pool", "pg-cursor"] {
        wanted.push(format!("{name}@{}", version(name)?));
    }
    let modules = fetch::npm("node-postgres", &wanted)?.join("node_modules");
    for name in ["pg/test", "pg/script", "pg-pool/test", "pg-cursor/test"] {
        fetch::copy_afresh(&packages.join(name), &modules.join(name))?;
    }
    // A test imports the package file of its own package as it is in the repository; npm's is the same but for its formatting.
    Ok(Box::new(NodePostgres {
        version: version("pg")?,
        modules,
    }))
}

impl Player for NodePostgres {
    fn version(&self) -> String {
        self.version.clone()
    }

    /// The table of `script/create-test-tables.js`, which its Makefile makes before the tests.
    fn arrange(&self, _server: &Server, access: &Access) -> Result<Vec<(String, String)>> {
        let mut node = self.node(access)?;
        process::capture(
            node.current_dir(self.modules.join("pg"))
                .args(["script/create-test-tables.js", "postgres://"]),
        )?;
        Ok(Vec::new())
    }

    fn play(&self, access: &Access, results: &Path, only: Option<&[String]>) -> Result<Outcomes> {
        let wanted = |file: &str| {
            only.is_none_or(|names| {
                names
                    .iter()
                    .any(|name| name == file || name.starts_with(&format!("{file} > ")))
            })
        };
        let mut found = Outcomes::default();
        for file in self.scripts()?.iter().filter(|file| wanted(file)) {
            found.extend(self.script(access, file, results)?);
        }
        for package in ["pg-pool", "pg-cursor"]
            .into_iter()
            .filter(|package| wanted(package))
        {
            found.extend(self.mocha(access, package, results)?);
        }
        Ok(found)
    }
}

impl NodePostgres {
    fn node(&self, access: &Access) -> Result<Command> {
        let mut node = Command::new(install::program("node", "nodejs")?);
        access.set_environment(&mut node);
        // node-postgres reads it, and its tests compare with its default.
        node.env_remove("PGCONNECT_TIMEOUT").env_remove("PGSSLMODE");
        Ok(node)
    }

    /// Those that its Makefile runs against a server, by their paths from the package on.
    fn scripts(&self) -> Result<Vec<String>> {
        let root = self.modules.join("pg");
        let mut find = Command::new("find");
        let listed = process::capture(find.current_dir(&root).args([
            "test/integration",
            "-name",
            "*-tests.js",
        ]))?;
        let mut names: Vec<String> = listed.lines().map(ToOwned::to_owned).collect();
        names.sort();
        Ok(names)
    }

    fn script(&self, access: &Access, file: &str, results: &Path) -> Result<Outcomes> {
        let mut node = self.node(access)?;
        node.current_dir(self.modules.join("pg"))
            .args([file, "postgres://"]);
        let (output, failure) = watched(&mut node, &results.join(file.replace('/', "_")), LONGEST)?;
        Ok(outcome::of_script(file, &output, failure))
    }

    fn mocha(&self, access: &Access, package: &str, results: &Path) -> Result<Outcomes> {
        let report = results.join(format!("{package}.json"));
        let mut node = self.node(access)?;
        node.current_dir(self.modules.join(package)).args([
            "../mocha/bin/mocha.js",
            "--exit",
            "--reporter",
            "json",
        ]);
        node.arg("--reporter-option")
            .arg(format!("output={}", report.display()))
            .arg("test");
        watched(&mut node, &results.join(package), LONGEST * 5)?;
        Ok(outcome::of_mocha(
            package,
            &fs::read_to_string(&report).unwrap_or_default(),
        ))
    }
}

/// Runs to the end with its output in a file; gives what it wrote, and why it counts as failed.
fn watched(command: &mut Command, log: &Path, most: Duration) -> Result<(String, Option<String>)> {
    let output = fs::File::create(log)?;
    let running = Running::start(
        command.stdout(output.try_clone()?).stderr(output),
        libc::SIGTERM,
    )?;
    let ended = process::poll(most, || Ok(running.ended()))?;
    drop(running);
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let failure = match ended {
        Some(status) if status.success() => None,
        Some(status) => Some(format!("{status}: {}", process::last_lines(&text, 12))),
        None => Some("hung".into()),
    };
    Ok((text, failure))
}

/// A working copy of its tests beside npm's sources.
struct PostgresJs {
    version: String,
    folder: PathBuf,
}

/// In the place of its own runner, which ends with the first failure.
const RUNNER: &str = include_str!("postgres_js_runner.mjs");
/// In the place of its own preparation, which makes databases and users through whatever it is pointed at.
const BOOTSTRAP: &str = include_str!("postgres_js_bootstrap.mjs");
const USERS: [&str; 3] = [
    "postgres_js_test",
    "postgres_js_test_md5",
    "postgres_js_test_scram",
];

fn postgres_js(tests: Option<&Path>) -> Result<Box<dyn Player>> {
    let source = tests.context("npm's package has no tests, and no other registry carries them; name a checkout with --tests postgres.js=FOLDER")?;
    let version = fetch::stated(&source.join("package.json"), "version")?;
    let folder =
        fetch::npm("postgres.js", &[format!("postgres@{version}")])?.join("node_modules/postgres");
    fetch::copy_afresh(&source.join("tests"), &folder.join("tests"))?;
    fs::write(folder.join("tests/test.js"), RUNNER)?;
    fs::write(folder.join("tests/bootstrap.js"), BOOTSTRAP)?;
    Ok(Box::new(PostgresJs { version, folder }))
}

impl Player for PostgresJs {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn arrange(&self, server: &Server, access: &Access) -> Result<Vec<(String, String)>> {
        let ask = |sql: &str| psql::ask(&server.binaries, &server.superuser, sql);
        let [plain, md5, scram] = USERS;
        // The first has no password of its own in the tests: they then take PGPASSWORD.
        let users = [(plain, &*access.password), (md5, md5), (scram, scram)];
        for (user, password) in users {
            ask(&format!("CREATE USER {user} PASSWORD '{password}'"))?;
        }
        ask(&format!("CREATE DATABASE {plain} OWNER {plain}"))?;
        Ok(users
            .map(|(user, password)| (user.into(), password.into()))
            .to_vec())
    }

    fn play(&self, access: &Access, results: &Path, only: Option<&[String]>) -> Result<Outcomes> {
        let mut node = Command::new(install::program("node", "nodejs")?);
        access.set_environment(&mut node);
        node.env_remove("PGCONNECT_TIMEOUT").env_remove("PGSSLMODE");
        let report = results.join("report");
        node.env("REPORT", &report)
            .current_dir(&self.folder)
            .arg("tests/index.js");
        if let Some(names) = only {
            node.env("ONLY", names.join("\n"));
        }
        watched(&mut node, &results.join("output"), LONGEST_POSTGRES_JS)?;
        let text = fs::read_to_string(&report).unwrap_or_default();
        ensure!(
            !text.is_empty(),
            "no test was played: see {}",
            results.display()
        );
        Ok(outcome::of_libtest(&text))
    }
}

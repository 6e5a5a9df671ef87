//! The suites of psycopg, psycopg2 and asyncpg: run by pytest, in a Python of their own.
//!
//! PyPI's source distributions of psycopg2 and asyncpg hold their tests. That of psycopg 3 does not: its tests come from Debian's source
//! package, or from a checkout that `--tests psycopg=FOLDER` names, and the driver of the same version from PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::outcome::{self, Outcomes};
use super::{Player, Suite, fetch};
use crate::postgres::{Access, Server};
use crate::process::{self, Running};

/// What runs the tests, and what they import besides their driver.
const RUNNER: &str = "pytest==9.2.0 pytest-reportlog==1.0.0 pytest-timeout==2.4.0";

/// The longest that one test, and that a suite may take.
const TEST_SECONDS: u32 = 60;
const LONGEST: Duration = Duration::from_secs(40 * 60);

/// Debian's version of psycopg 3 to be tried first.
const PSYCOPG_WANTED: &str = "3.3.5";

/// psycopg 3, with its pools.
pub const PSYCOPG: Suite = Suite {
    name: "psycopg",
    prepare: psycopg,
};

/// psycopg 2.
pub const PSYCOPG2: Suite = Suite {
    name: "psycopg2",
    prepare: |tests| {
        from_sdist(
            tests,
            "psycopg2",
            "2.9.13",
            "psycopg2-binary==2.9.13",
            &[],
            psycopg2_environment,
        )
    },
};

/// asyncpg. Two files are about its own source and about continuous integration.
pub const ASYNCPG: Suite = Suite {
    name: "asyncpg",
    prepare: |tests| {
        let without = [
            "--ignore=tests/test__sourcecode.py",
            "--ignore=tests/test__environment.py",
        ];
        from_sdist(
            tests,
            "asyncpg",
            "0.32.0",
            "asyncpg==0.32.0 uvloop==0.23.0 distro==1.9.0",
            &without,
            |_, _| {},
        )
    },
};

/// A folder with `tests`, and how pytest runs them.
struct Pytest {
    version: String,
    python: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
    /// What the tests want to be told besides libpq's variables.
    environment: fn(&mut Command, &Access),
}

fn psycopg(tests: Option<&Path>) -> Result<Box<dyn Player>> {
    let (source, version) = match tests {
        Some(folder) => (folder.to_owned(), fetch::stated(&folder.join("psycopg/pyproject.toml"), "version")?),
        None => fetch::debian("psycopg3", PSYCOPG_WANTED)
            .context("PyPI's source distribution of psycopg has no tests, and Debian's could not be had; name a checkout with --tests psycopg=FOLDER")?,
    };
    let requirements = format!(
        "{RUNNER} psycopg[binary]=={version} psycopg-pool==3.3.3 anyio==4.16.0 pproxy==2.7.9 dnspython==2.9.2 shapely==2.2.0 numpy==2.4.6"
    );
    let python = fetch::python("psycopg", &requirements)?;
    let folder = working_copy(&python, &source)?;
    fetch::copy(&source.join("pyproject.toml"), &folder)?;
    // The tests of broken connections start a program of theirs.
    fetch::copy_afresh(&source.join("tools"), &folder.join("tools"))?;
    Ok(Box::new(Pytest {
        version,
        python,
        folder,
        arguments: ["-m", "not slow"].map(String::from).to_vec(),
        environment: psycopg_environment,
    }))
}

fn from_sdist(
    tests: Option<&Path>,
    name: &str,
    version: &str,
    driver: &str,
    arguments: &[&str],
    environment: fn(&mut Command, &Access),
) -> Result<Box<dyn Player>> {
    let python = fetch::python(name, &format!("{RUNNER} {driver}"))?;
    let source = match tests {
        Some(folder) => folder.to_owned(),
        None => fetch::sdist(&python, name, version)?,
    };
    Ok(Box::new(Pytest {
        version: version.into(),
        folder: working_copy(&python, &source)?,
        python,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environment,
    }))
}

/// The tests alone: beside them lies the driver's source, which would be imported in place of what is installed.
fn working_copy(python: &Path, source: &Path) -> Result<PathBuf> {
    let venv = python
        .ancestors()
        .nth(2)
        .context("an interpreter lies in a folder")?;
    let folder = venv.join("work");
    fetch::copy_afresh(&source.join("tests"), &folder.join("tests"))?;
    Ok(folder)
}

fn psycopg_environment(command: &mut Command, access: &Access) {
    let Access {
        host,
        port,
        user,
        password,
        database,
        ..
    } = access;
    let dsn = format!("host={host} port={port} user={user} password={password} dbname={database}");
    command
        .env("PSYCOPG_TEST_DSN", dsn)
        .env("PSYCOPG_IMPL", "binary");
}

fn psycopg2_environment(command: &mut Command, access: &Access) {
    command.env("PSYCOPG2_TESTDB", &access.database);
}

impl Player for Pytest {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn arrange(&self, _server: &Server, _access: &Access) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn play(&self, access: &Access, results: &Path, only: Option<&[String]>) -> Result<Outcomes> {
        let log = results.join("report.jsonl");
        let output = fs::File::create(results.join("output"))?;
        let mut pytest = Command::new(&self.python);
        access.set_environment(&mut pytest);
        // Tests of the driver's own connect_timeout set no other.
        pytest
            .env_remove("PGCONNECT_TIMEOUT")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        (self.environment)(&mut pytest, access);
        // pytest's own way to show a failure parses the source, which Python 3.11 does not survive below deep recursions.
        pytest
            .current_dir(&self.folder)
            .args(["-m", "pytest", "-q", "--tb=native"]);
        pytest
            .arg("-o")
            .arg(format!("cache_dir={}", results.join("cache").display()));
        pytest
            .arg(format!("--timeout={TEST_SECONDS}"))
            .arg(format!("--report-log={}", log.display()));
        match only {
            Some(names) => pytest.args(names),
            None => pytest.arg("tests").args(&self.arguments),
        };
        let running = Running::start(
            pytest.stdout(output.try_clone()?).stderr(output),
            libc::SIGTERM,
        )?;
        let ended = process::poll(LONGEST, || Ok(running.ended()))?;
        let shown = results.display();
        let ended = ended.with_context(|| format!("it hung: see {shown}"))?;
        // 0: all passed; 1: some failed. Anything else: some were not reached.
        ensure!(
            matches!(ended.code(), Some(0 | 1)),
            "pytest broke off ({ended}): see {shown}"
        );
        let text = fs::read_to_string(&log)
            .with_context(|| format!("pytest did not start: see {}", results.display()))?;
        Ok(outcome::of_pytest(&text))
    }
}

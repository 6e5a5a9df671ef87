//! `cargo xtask regress`: PostgreSQL's own regression suite through Forebay, one file at a time, beside a direct run.
//!
//! Two equal servers: on the one the files run directly, on the other through `forebay` in transaction mode with a few backends
//! that are lent in rotation, so that what a session leaves in its backend or expects to find there shows. Files run in the
//! order of the suite's schedule, as `pg_regress` runs them, each with a psql of its own. A file passes if its output is one of
//! the expected ones or what the direct run gave.

mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::place::User;
use crate::postgres::{Access, Server, ServerOptions};
use crate::process::{self, Running};
use crate::proxy::{self, Proxy, ProxyOptions};
use crate::steps::{heading, progress};
use crate::{psql, workspace};

/// The longest that one file may take.
const LONGEST: Duration = Duration::from_secs(180);

/// Lines of a difference that are shown.
const SHOWN: usize = 24;

/// Which suite, and through how many backends.
#[derive(clap::Args)]
pub struct Args {
    /// Major version of the database
    #[arg(long, default_value_t = 18)]
    version: u32,
    /// Database connections that Forebay lends in rotation
    #[arg(long, default_value_t = 5)]
    backends: u32,
    /// Go no further in the schedule than this file
    #[arg(long, value_name = "FILE")]
    until: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    heading("Building");
    let binary = proxy::build()?.canonicalize()?;
    heading(&format!("PostgreSQL {}", args.version));
    let results = workspace::target().join(format!("regress/{}", args.version));
    fs::remove_dir_all(&results).ok();
    let (direct, through) = (Stage::new(args)?, Stage::new(args)?);
    let proxy = through.proxy(&binary, args.backends)?;
    let schedule = through.schedule(args.until.as_deref())?;
    progress(&format!(
        "{} files, directly and through {} backends in rotation",
        schedule.len(),
        args.backends
    ));
    let places = [results.join("direct"), results.join("forebay")];
    for place in &places {
        fs::create_dir_all(place)?;
    }
    std::thread::scope(|scope| {
        let alone = scope.spawn(|| direct.play(&schedule, &direct.access, &places[0]));
        through.play(&schedule, &through.at(&proxy), &places[1])?;
        alone.join().expect("it does not panic")
    })?;
    let verdicts = schedule
        .iter()
        .map(|file| verdict(&through.suite, file, &places));
    report(&verdicts.collect::<Result<Vec<_>>>()?, &places)
}

/// A server prepared as `pg_regress` prepares its own, and a copy of the suite that it can read.
struct Stage {
    server: Server,
    suite: PathBuf,
    access: Access,
}

impl Stage {
    fn new(args: &Args) -> Result<Stage> {
        let server = Server::start(&ServerOptions {
            version: Some(args.version),
            settings: vec!["max_prepared_transactions=2".into()],
            ..Default::default()
        })?;
        let fetched = source::find_or_fetch(&server.binaries)?;
        let suite = server.folder().join("regress");
        process::capture(Command::new("cp").arg("-a").arg(&fetched).arg(&suite))?;
        // Some files write into a folder of this name beside the suite.
        fs::create_dir_all(suite.join("results"))?;
        if let Some(user) = User::unprivileged()? {
            user.owns(&suite)?;
        }
        trust_everybody(&server)?;
        let ask = |sql: &str| psql::ask(&server.binaries, &server.superuser, sql);
        ask("CREATE DATABASE regression TEMPLATE template0")?;
        for setting in [
            "lc_messages TO 'C'",
            "lc_monetary TO 'C'",
            "lc_numeric TO 'C'",
            "lc_time TO 'C'",
            "bytea_output TO 'hex'",
            "timezone_abbreviations TO 'Default'",
        ] {
            ask(&format!("ALTER DATABASE regression SET {setting}"))?;
        }
        let access = Access {
            database: "regression".into(),
            ..server.superuser.clone()
        };
        Ok(Stage {
            server,
            suite,
            access,
        })
    }

    fn proxy(&self, binary: &Path, backends: u32) -> Result<Proxy> {
        let number = backends.to_string();
        let more = ["--lease-order", "rotate", "--pool-size-min", &number];
        let options = ProxyOptions {
            workers: Some(1),
            driver: None,
            max_connections: Some(backends),
            more: more.iter().map(ToString::to_string).collect(),
        };
        Proxy::start(binary, &self.access, &options, self.server.folder())
    }

    fn at(&self, proxy: &Proxy) -> Access {
        self.access.at(&proxy.access.host, proxy.access.port)
    }

    /// The files in their order, those of one line of the schedule too one after the other.
    fn schedule(&self, until: Option<&str>) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.suite.join("parallel_schedule"))?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("test:"));
        let mut files: Vec<String> = lines
            .flat_map(str::split_whitespace)
            .map(ToOwned::to_owned)
            .collect();
        if let Some(last) = until {
            let at = files.iter().position(|file| file == last);
            files.truncate(at.with_context(|| format!("{last} is not in the schedule"))? + 1);
        }
        ensure!(!files.is_empty(), "the schedule is empty");
        Ok(files)
    }

    fn play(&self, schedule: &[String], access: &Access, results: &Path) -> Result<()> {
        schedule
            .iter()
            .try_for_each(|file| self.play_one(file, access, results))
    }

    fn play_one(&self, file: &str, access: &Access, results: &Path) -> Result<()> {
        let path = results.join(format!("{file}.out"));
        let output = fs::File::create(&path)?;
        let psql = self.psql(access)?;
        let mut shell = Command::new("sh");
        // Our children have no standard input, and with `-f` psql would put the file's name into each message.
        shell
            .args(["-c", "exec \"$0\" \"$@\" <\"$SCRIPT\""])
            .arg(psql.get_program())
            .args(psql.get_args())
            .env("SCRIPT", self.suite.join(format!("sql/{file}.sql")))
            .env("PGAPPNAME", format!("pg_regress/{file}"))
            .current_dir(&self.suite)
            .stdout(output.try_clone()?)
            .stderr(output);
        for (name, value) in psql.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let running = Running::start(&mut shell, libc::SIGTERM)?;
        if process::poll(LONGEST, || Ok(running.ended()))?.is_none() {
            progress(&format!("{file} hung"));
        }
        self.forget_place(&path)
    }

    /// Errors that speak of this stage's folder are to read alike at both.
    fn forget_place(&self, output: &Path) -> Result<()> {
        let replacement = format!("s|{}|REGRESS|g", self.suite.display());
        let mut sed = Command::new("sed");
        // Some outputs are in no encoding of ours.
        sed.env("LC_ALL", "C").args(["-i", &replacement]);
        process::capture(sed.arg(output)).map(drop)
    }

    /// psql as `pg_regress` starts it (its `initialize_environment` and `psql_start_test`).
    fn psql(&self, access: &Access) -> Result<Command> {
        let mut command = self.server.binaries.tool("psql")?;
        access.set_environment(&mut command);
        command.args(["-X", "-a", "-q", "-d", &access.database]);
        command.args(["-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]);
        for name in ["LC_ALL", "LANGUAGE", "PGCLIENTENCODING"] {
            command.env_remove(name);
        }
        command
            .env("LANG", "C")
            .env("LC_MESSAGES", "C")
            .env("PGTZ", "America/Los_Angeles")
            .env("PGDATESTYLE", "Postgres, MDY")
            .env("PGOPTIONS", "-c intervalstyle=postgres_verbose")
            .env("PG_ABS_SRCDIR", &self.suite)
            .env("PG_ABS_BUILDDIR", &self.suite)
            .env("PG_LIBDIR", &self.suite)
            .env("PG_DLSUFFIX", ".so");
        Ok(command)
    }
}

/// Some files connect again as roles that they have made, without a password.
fn trust_everybody(server: &Server) -> Result<()> {
    let hba = server.folder().join("data/pg_hba.conf");
    fs::write(
        &hba,
        "local all all trust\nhost all all 127.0.0.1/32 trust\n",
    )?;
    psql::ask(
        &server.binaries,
        &server.superuser,
        "SELECT pg_reload_conf()",
    )
    .map(drop)
}

/// What is to be said of one file.
struct Verdict {
    file: String,
    /// The first difference from the direct run; `None` if it passes.
    differs: Option<String>,
    /// The direct run gave what is expected.
    direct: bool,
    /// Why it may differ.
    explained: Option<&'static str>,
}

fn verdict(suite: &Path, file: &str, [direct, through]: &[PathBuf; 2]) -> Result<Verdict> {
    let name = format!("{file}.out");
    let (alone, got) = (direct.join(&name), through.join(&name));
    let expected = |output: &Path| {
        let numbered = (0..10).map(|number| match number {
            0 => suite.join("expected").join(&name),
            _ => suite.join(format!("expected/{file}_{number}.out")),
        });
        let mut there = numbered.filter(|path| path.exists());
        there.any(|path| difference(&path, output).is_ok_and(|text| text.is_none()))
    };
    let differs = if expected(&got) {
        None
    } else {
        difference(&alone, &got)?
    };
    Ok(Verdict {
        file: file.into(),
        direct: expected(&alone),
        explained: explanation(file),
        differs,
    })
}

/// As `pg_regress` compares: `diff -w`.
fn difference(one: &Path, other: &Path) -> Result<Option<String>> {
    let mut diff = Command::new("diff");
    let finished = process::finish(diff.args(["-w", "-U3"]).arg(one).arg(other))?;
    match finished.status.code() {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(finished.stdout)),
        _ => bail!("diff failed: {}", finished.stderr),
    }
}

/// The reviewed list: `FILE | reason` a line.
fn explanation(file: &str) -> Option<&'static str> {
    let lines = include_str!("regress/explained.txt").lines();
    let entries = lines.filter_map(|line| line.split_once('|'));
    let mut found = entries.filter(|(name, _)| name.trim() == file);
    found.next().map(|(_, reason)| reason.trim())
}

fn report(verdicts: &[Verdict], places: &[PathBuf; 2]) -> Result<()> {
    let failed: Vec<&Verdict> = verdicts
        .iter()
        .filter(|one| one.differs.is_some())
        .collect();
    for one in &failed {
        let text = one.differs.as_deref().unwrap_or_default();
        let hunk: Vec<&str> = text.lines().skip(2).take(SHOWN).collect();
        println!(
            "\n{} differs from the direct run:\n{}",
            one.file,
            hunk.join("\n")
        );
        if let Some(reason) = one.explained {
            println!("explained: {reason}");
        }
    }
    let alone = verdicts.iter().filter(|one| one.direct).count();
    println!(
        "\nregress: {} of {} files pass through Forebay ({alone} give the expected output directly)",
        verdicts.len() - failed.len(),
        verdicts.len()
    );
    let names = |explained: bool| {
        let of_kind = failed
            .iter()
            .filter(|one| one.explained.is_some() == explained);
        of_kind.map(|one| one.file.as_str()).collect::<Vec<_>>()
    };
    println!("explained: {}", names(true).join(" "));
    println!("not explained: {}", names(false).join(" "));
    println!(
        "all outputs: {} and {}",
        places[0].display(),
        places[1].display()
    );
    ensure!(
        names(false).is_empty(),
        "{} files differ without an explanation",
        names(false).len()
    );
    Ok(())
}

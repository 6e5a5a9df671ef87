//! `oracle`: plays session programs directly and through Forebay and compares every reply; `cargo xtask conformance postgres` and
//! `cargo xtask conformance mysql` start the servers and call it.
//!
//! `oracle --engine mysql --admin HOST:PORT --bench USER,BACKENDS,HOST:PORT … --seconds 20 --seed 1`, passwords in
//! `ORACLE_ADMIN_PASSWORD` and `ORACLE_PASSWORD`; `--engine` is `postgres` (if not given), `mysql` or `mariadb`. Each bench has a thread and its own pair of databases; the program of a seed is played on the bench whose number
//! is the seed modulo their count. Exit status 0 when nothing unknown differs, 1 when something does, 2 when it cannot run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay_testkit::oracle::bench::{self, Difference, Outcome};
use forebay_testkit::oracle::connection::Address;
use forebay_testkit::oracle::known::{self, Known};
use forebay_testkit::oracle::program::{Act, Who};
use forebay_testkit::oracle::shrink::{self, Shrinks};
use forebay_testkit::oracle::{grammar, mysql, program, script};

/// Differences that are told before the run is given up, with `--keep-going`.
const TOLD_MAX: usize = 20;

/// One bench, as the command line says it.
struct Place {
    user: String,
    backends: u8,
    proxy: SocketAddr,
}

/// Whose protocol is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Postgres,
    MySql,
    MariaDb,
}

struct Arguments {
    engine: Engine,
    admin: SocketAddr,
    places: Vec<Place>,
    seconds: Option<u64>,
    programs: Option<u64>,
    seed: u64,
    keep_going: bool,
    /// As the person would repeat the run, up to the seed.
    repeat: String,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        engine: Engine::Postgres,
        admin: SocketAddr::from(([127, 0, 0, 1], 5432)),
        places: Vec::new(),
        seconds: None,
        programs: None,
        seed: 1,
        keep_going: false,
        repeat: "oracle".into(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--keep-going" {
            found.keep_going = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            let number = value.parse::<u64>();
            number.map_err(|_| format!("{word}: {value} is no number"))
        };
        match &*word {
            "--engine" => found.engine = engine(&value)?,
            "--admin" => found.admin = address(&value)?,
            "--bench" => found.places.push(place(&value)?),
            "--seconds" => found.seconds = Some(number()?),
            "--programs" => found.programs = Some(number()?),
            "--seed" => found.seed = number()?,
            "--repeat" => found.repeat = value,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    if found.places.is_empty() {
        return Err("needs at least one --bench".into());
    }
    Ok(found)
}

fn engine(name: &str) -> Result<Engine, String> {
    match name {
        "postgres" => Ok(Engine::Postgres),
        "mysql" => Ok(Engine::MySql),
        "mariadb" => Ok(Engine::MariaDb),
        _ => Err(format!("unknown engine {name}")),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text}: expected HOST:PORT"))
}

fn place(text: &str) -> Result<Place, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [user, backends, proxy] = parts[..] else {
        return Err(format!("{text}: expected USER,BACKENDS,HOST:PORT"));
    };
    Ok(Place {
        user: user.into(),
        backends: backends
            .parse()
            .map_err(|_| format!("{backends} is no number of backends"))?,
        proxy: address(proxy)?,
    })
}

/// What all threads have found.
#[derive(Default)]
struct Found {
    programs: u64,
    replies: u64,
    void: u64,
    known: BTreeMap<String, u64>,
    told: usize,
    /// What was told, as the first reply that differs on either side; the same again is only counted.
    seen: BTreeSet<(String, String)>,
    again: u64,
    failed: Option<String>,
}

struct Run {
    arguments: Arguments,
    known: Vec<Known>,
    found: Mutex<Found>,
    stop: AtomicBool,
    started: Instant,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("oracle: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut known = match arguments.engine {
        Engine::Postgres => known::list(),
        Engine::MySql | Engine::MariaDb => known::read(mysql::KNOWN),
    };
    // Those of a person who looks for others.
    let more = std::env::var("ORACLE_KNOWN").map(std::fs::read_to_string);
    known.extend(
        more.into_iter()
            .flatten()
            .flat_map(|text| known::read(&text)),
    );
    let run = Run {
        arguments,
        known,
        found: Mutex::default(),
        stop: AtomicBool::new(false),
        started: Instant::now(),
    };
    std::thread::scope(|scope| {
        for number in 0..run.arguments.places.len() {
            let run = &run;
            scope.spawn(move || run.work(number));
        }
    });
    run.summarize()
}

fn password(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

impl Run {
    fn work(&self, number: usize) {
        if let Err(problem) = self.play_all(number) {
            self.stop.store(true, Ordering::Relaxed);
            self.locked(|found| found.failed = Some(problem));
        }
    }

    fn locked<T>(&self, change: impl FnOnce(&mut Found) -> T) -> T {
        let mut found = self.found.lock();
        let found = found.as_mut().expect("no thread panics while it counts");
        change(found)
    }

    fn address(&self, at: SocketAddr, number: usize, database: String) -> Address {
        Address {
            at,
            user: self.arguments.places[number].user.clone(),
            database,
            password: password("ORACLE_PASSWORD"),
        }
    }

    fn admin(&self, user: &str, database: &str) -> Address {
        Address {
            at: self.arguments.admin,
            user: user.into(),
            database: database.into(),
            password: password("ORACLE_ADMIN_PASSWORD"),
        }
    }

    fn play_all(&self, number: usize) -> Result<(), String> {
        let place = &self.arguments.places[number];
        let (direct, through) = (self.arguments.admin, place.proxy);
        match self.arguments.engine {
            Engine::Postgres => {
                let side = |at, kind| self.address(at, number, format!("oracle_{number}_{kind}"));
                let admin = self.admin("postgres", "postgres");
                let bench =
                    bench::Bench::make(&admin, side(direct, "direct"), side(through, "through"))?;
                let style = grammar::Style {
                    superuser: place.user.ends_with("super"),
                    backends: place.backends,
                    hidden: true,
                    listen: true,
                    sql_prepare: true,
                };
                self.play_on(number, &mut Postgres(bench, style))
            }
            engine => {
                let side = |at| self.address(at, number, String::new());
                let admin = self.admin("root", "mysql");
                let bench = mysql::bench::Bench::make(&admin, number, side(direct), side(through))?;
                let style = mysql::grammar::Style {
                    superuser: place.user.ends_with("super"),
                    backends: place.backends,
                    mariadb: engine == Engine::MariaDb,
                };
                self.play_on(number, &mut MySql(bench, style))
            }
        }
    }

    /// Plays the written programs, then those of the seeds that are this bench's.
    fn play_on<S: Stage>(&self, number: usize, stage: &mut S) -> Result<(), String> {
        if self.arguments.programs != Some(1) {
            for (name, program) in stage.written() {
                self.play(stage, &program, &format!("the scripted program `{name}`"))?;
            }
        }
        let (first, count) = (self.arguments.seed, self.arguments.places.len() as u64);
        for seed in (first..).filter(|seed| seed % count == number as u64) {
            if self.is_over(seed) {
                break;
            }
            let program = stage.random(seed);
            self.play(stage, &program, &format!("seed {seed}"))?;
        }
        Ok(())
    }

    fn is_over(&self, seed: u64) -> bool {
        let Arguments {
            seconds, programs, ..
        } = self.arguments;
        let played = seed - self.arguments.seed;
        let late = |seconds| self.started.elapsed() >= Duration::from_secs(seconds);
        self.stop.load(Ordering::Relaxed)
            || programs.is_some_and(|programs| played >= programs)
            || seconds.is_some_and(late)
            || (seconds.is_none() && programs.is_none() && late(60))
    }

    fn play<S: Stage>(
        &self,
        stage: &mut S,
        program: &S::Program,
        name: &str,
    ) -> Result<(), String> {
        let outcome = stage
            .check(program, &self.known)
            .map_err(|why| format!("{name}: {why}"))?;
        self.locked(|found| found.programs += 1);
        match outcome {
            Outcome::Same(replies) => self.locked(|found| found.replies += replies),
            Outcome::Void => self.locked(|found| found.void += 1),
            Outcome::Differs(difference) => {
                self.on_difference(stage, program, name, &difference)?
            }
        }
        Ok(())
    }

    fn on_difference<S: Stage>(
        &self,
        stage: &mut S,
        program: &S::Program,
        name: &str,
        difference: &Difference,
    ) -> Result<(), String> {
        if let Some(known) = known::explains(&self.known, difference) {
            self.locked(|found| *found.known.entry(known.reason.clone()).or_default() += 1);
            return Ok(());
        }
        let seen = (difference.direct.clone(), difference.through.clone());
        if self.locked(|found| !found.seen.insert(seen)) {
            self.locked(|found| found.again += 1);
            return Ok(());
        }
        let told = self.locked(|found| {
            found.told += 1;
            found.told
        });
        if !self.arguments.keep_going || told >= TOLD_MAX {
            self.stop.store(true, Ordering::Relaxed);
        }
        let mut problem = None;
        let mut last = None;
        let small = shrink::shrink(program, |candidate| {
            match stage.check(candidate, &self.known) {
                Ok(Outcome::Differs(again))
                    if known::explains(&self.known, &again).is_none()
                        && is_like(&again, difference) =>
                {
                    last = Some(again);
                    true
                }
                Ok(_) => false,
                Err(why) => {
                    problem = Some(why);
                    false
                }
            }
        });
        let shrunk = last.map(|again| (S::lines(&small), again));
        self.tell(name, &S::lines(program), difference, shrunk);
        problem.map_or(Ok(()), Err)
    }

    fn tell(
        &self,
        name: &str,
        program: &[String],
        first: &Difference,
        shrunk: Option<(Vec<String>, Box<Difference>)>,
    ) {
        // One thread at a time, so that reports are whole.
        self.locked(|_| {
            println!("\nDIFFERENCE in {name}: {first}");
            match shrunk {
                Some((small, again)) => {
                    println!("the smallest program that differs:");
                    small.iter().for_each(|line| println!("  {line}"));
                    println!("and how: {again}");
                }
                None => {
                    println!(
                        "it did not differ again when parts were left out; the whole program:"
                    );
                    program.iter().for_each(|line| println!("  {line}"));
                }
            }
            if let Some(seed) = name.strip_prefix("seed ") {
                println!(
                    "repeat: {} --seed {seed} --programs 1",
                    self.arguments.repeat
                );
            }
        });
    }

    fn summarize(&self) -> ExitCode {
        let seconds = self.started.elapsed().as_secs_f64();
        self.locked(|found| {
            #[allow(clippy::cast_precision_loss)]
            let rate = found.programs as f64 / seconds * 60.0;
            println!(
                "oracle: {} programs from seed {} in {seconds:.1} s ({rate:.0} a minute): {} replies equal, {} programs void, {} unknown differences, {} known",
                found.programs,
                self.arguments.seed,
                found.replies,
                found.void,
                found.told,
                found.known.values().sum::<u64>()
            );
            if found.again > 0 {
                println!("  {} more differed as one before them", found.again);
            }
            for (reason, count) in &found.known {
                println!("  known, {count} times: {reason}");
            }
            if let Some(problem) = &found.failed {
                eprintln!("oracle: {problem}");
                return ExitCode::from(2);
            }
            if found.told > 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        })
    }
}

/// Where programs of one engine are played.
trait Stage {
    /// Its programs.
    type Program: Shrinks;

    /// Those written by hand.
    fn written(&self) -> Vec<(&'static str, Self::Program)>;
    /// The program of a seed.
    fn random(&self, seed: u64) -> Self::Program;
    /// Plays one on both sides.
    fn check(&mut self, program: &Self::Program, known: &[Known]) -> Result<Outcome, String>;
    /// A program as people read it; that its clients close at its end is left out.
    fn lines(program: &Self::Program) -> Vec<String>;
}

struct Postgres(bench::Bench, grammar::Style);

impl Stage for Postgres {
    type Program = program::Program;

    fn written(&self) -> Vec<(&'static str, program::Program)> {
        script::all()
    }

    fn random(&self, seed: u64) -> program::Program {
        grammar::program(seed, &self.1)
    }

    fn check(&mut self, program: &program::Program, _: &[Known]) -> Result<Outcome, String> {
        self.0.check(program)
    }

    fn lines(program: &program::Program) -> Vec<String> {
        let is_quiet = |step: &&program::Step| step.act == Act::Close && is_client(step.who);
        let told = program.steps.iter().filter(|step| !is_quiet(step));
        told.map(ToString::to_string).collect()
    }
}

struct MySql(mysql::bench::Bench, mysql::grammar::Style);

impl Stage for MySql {
    type Program = mysql::program::Program;

    fn written(&self) -> Vec<(&'static str, mysql::program::Program)> {
        mysql::script::all()
    }

    fn random(&self, seed: u64) -> mysql::program::Program {
        mysql::grammar::program(seed, &self.1)
    }

    fn check(
        &mut self,
        program: &mysql::program::Program,
        known: &[Known],
    ) -> Result<Outcome, String> {
        self.0.check(program, known)
    }

    fn lines(program: &mysql::program::Program) -> Vec<String> {
        let is_quiet = |step: &&mysql::program::Step| {
            step.act == mysql::program::Act::Close && is_client(step.who)
        };
        let told = program.steps.iter().filter(|step| !is_quiet(step));
        told.map(ToString::to_string).collect()
    }
}

/// Whether a smaller program still shows the same: it is not to be followed from one difference to another.
fn is_like(one: &Difference, other: &Difference) -> bool {
    one.played == other.played || (&one.direct, &one.through) == (&other.direct, &other.through)
}

fn is_client(who: Who) -> bool {
    matches!(who, Who::Client(_))
}

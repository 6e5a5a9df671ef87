//! Two sides to play on: a database directly, and its twin through Forebay; and what differs between them.

use std::fmt;

use super::connection::{Address, Connection};
use super::player::{Answers, Side, play};
use super::program::{Program, Who};
use super::schema;

/// Where one thread plays its programs.
#[derive(Debug)]
pub struct Bench {
    direct: Address,
    through: Address,
    /// A superuser in either database, to put it in order.
    admins: [Connection; 2],
}

/// The first reply that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The number of the step in its program, from 0.
    pub step: usize,
    /// The step.
    pub played: String,
    /// What the database said.
    pub direct: String,
    /// What Forebay said.
    pub through: String,
}

/// What playing a program showed.
#[derive(Debug)]
pub enum Outcome {
    /// The same on both sides; how many replies.
    Same(u64),
    /// Something else.
    Differs(Box<Difference>),
    /// Nothing: the database itself left a client waiting (two sessions that wait for each other).
    Void,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}: {}", self.step, self.played)?;
        writeln!(f, "   directly: {}", self.direct)?;
        write!(f, "    forebay: {}", self.through)
    }
}

impl Bench {
    /// Makes both databases. `admin` is a superuser of the server itself; `direct` and `through` name databases that nobody else
    /// uses.
    ///
    /// # Errors
    /// What the server has against it.
    pub fn make(admin: &Address, direct: Address, through: Address) -> Result<Bench, String> {
        let mut first = open(admin)?;
        let mut own = |side: &Address| {
            for sql in schema::databases(&side.database) {
                first.run(&sql)?;
            }
            let mut own = open(&Address {
                database: side.database.clone(),
                ..admin.clone()
            })?;
            own.run(schema::OBJECTS)?;
            Ok::<_, String>(own)
        };
        let admins = [own(&direct)?, own(&through)?];
        first.close();
        Ok(Bench {
            direct,
            through,
            admins,
        })
    }

    /// Plays a program on both sides.
    ///
    /// # Errors
    /// When a database cannot be put in order again: something still holds its locks.
    pub fn check(&mut self, program: &Program) -> Result<Outcome, String> {
        let side = |address, neighbours| Side {
            address,
            neighbours,
        };
        let direct = play(program, side(&self.direct, false));
        let outcome = if direct.hung {
            Outcome::Void
        } else {
            let through = play(program, side(&self.through, true));
            match difference(program, &direct, &through) {
                Some(difference) => Outcome::Differs(Box::new(difference)),
                None => Outcome::Same(through.replies),
            }
        };
        for admin in &mut self.admins {
            admin.run(schema::RESTORE)?;
        }
        Ok(outcome)
    }
}

fn open(address: &Address) -> Result<Connection, String> {
    let said = Connection::open(address, &[]);
    said.map(|(connection, _)| connection)
        .map_err(|(silence, said)| format!("{}: {silence}, {said:?}", address.at))
}

fn difference(program: &Program, direct: &Answers, through: &Answers) -> Option<Difference> {
    let named = program.steps.iter().map(|step| {
        let is_client = matches!(step.who, Who::Client(_));
        is_client.then(|| step.to_string())
    });
    differences(named, direct, through).next()
}

/// The first reply of each step that is not the same; steps that have no name are not compared.
pub fn differences<'a>(
    steps: impl Iterator<Item = Option<String>> + 'a,
    direct: &'a Answers,
    through: &'a Answers,
) -> impl Iterator<Item = Difference> + 'a {
    let nothing = Vec::new();
    steps.enumerate().filter_map(move |(number, step)| {
        let played = step?;
        let lines = |answers: &Answers| answers.steps.get(number).unwrap_or(&nothing).clone();
        let (expected, got) = (lines(direct), lines(through));
        let longest = expected.len().max(got.len());
        let first = (0..longest).find(|at| expected.get(*at) != got.get(*at))?;
        let line = |lines: &[String]| {
            let line = lines.get(first).cloned();
            line.unwrap_or_else(|| "(nothing more)".into())
        };
        Some(Difference {
            step: number,
            played,
            direct: line(&expected),
            through: line(&got),
        })
    })
}

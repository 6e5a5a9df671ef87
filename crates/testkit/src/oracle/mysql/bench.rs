//! Two sides to play on: databases of a server directly, and their twins through Forebay; and what differs between them.

use super::connection::Connection;
use super::player::{MARK, Side, play};
use super::program::{Opening, Program, Who};
use super::schema;
use crate::oracle::bench::{Outcome, differences};
use crate::oracle::connection::Address;
use crate::oracle::known::{self, Known};

/// Where one thread plays its programs.
#[derive(Debug)]
pub struct Bench {
    direct: Address,
    through: Address,
    /// What stands for [`MARK`] on either side.
    marks: [String; 2],
    /// A superuser, to put databases in order.
    admin: Connection,
}

impl Bench {
    /// Makes the databases of both sides. `admin` is a superuser; `number` is the bench's own, from 0 to 9.
    ///
    /// # Errors
    /// What the server has against it.
    pub fn make(
        admin: &Address,
        number: usize,
        direct: Address,
        through: Address,
    ) -> Result<Bench, String> {
        let opening = Opening {
            database: None,
            ..Opening::default()
        };
        let opened = Connection::open(admin, &opening, None);
        let (admin, _) =
            opened.map_err(|(silence, said)| format!("{}: {silence}, {said:?}", admin.at))?;
        let marks = ["d", "t"].map(|side| format!("o{number}{side}"));
        debug_assert!(
            marks.iter().all(|mark| mark.len() == MARK.len()),
            "marks are as long as what they stand for"
        );
        let mut bench = Bench {
            direct,
            through,
            marks,
            admin,
        };
        bench.run(&schema::make())?;
        Ok(bench)
    }

    /// Runs statements for both sides.
    fn run(&mut self, statements: &[String]) -> Result<(), String> {
        for mark in &self.marks {
            for sql in statements {
                self.admin.run(&sql.replace(MARK, mark))?;
            }
        }
        Ok(())
    }

    /// Plays a program on both sides; gives the first difference that is not known, else the first.
    ///
    /// # Errors
    /// When a database cannot be put in order again: something still holds its locks.
    pub fn check(&mut self, program: &Program, known: &[Known]) -> Result<Outcome, String> {
        let side = |address, mark, neighbours| Side {
            address,
            mark,
            neighbours,
        };
        let direct = play(program, side(&self.direct, &self.marks[0], false));
        let outcome = if direct.hung {
            Outcome::Void
        } else {
            let through = play(program, side(&self.through, &self.marks[1], true));
            let named = program.steps.iter().map(|step| {
                let is_client = matches!(step.who, Who::Client(_));
                is_client.then(|| step.to_string())
            });
            // One that is known hides no other behind it.
            let mut all: Vec<_> = differences(named, &direct, &through).collect();
            // Behind a refusal where there was none the two sides have gone different ways.
            let refused = all.iter().position(|it| it.through.contains("Error 1105 "));
            if let Some(at) = refused {
                all.truncate(at + 1);
            }
            let is_new = |it: &_| known::explains(known, it).is_none();
            let at = all.iter().position(is_new).unwrap_or(0);
            match (!all.is_empty()).then(|| all.swap_remove(at)) {
                Some(difference) => Outcome::Differs(Box::new(difference)),
                None => Outcome::Same(through.replies),
            }
        };
        self.restore(program, matches!(outcome, Outcome::Same(_)))?;
        Ok(outcome)
    }

    fn restore(&mut self, program: &Program, is_same: bool) -> Result<(), String> {
        for session in schema::SESSIONS {
            let who = match session {
                "0" => Who::Client(0),
                "1" => Who::Client(1),
                _ => Who::Neighbour(0),
            };
            if program.steps.iter().all(|step| step.who != who) {
                continue;
            }
            let statements = match is_same {
                true => schema::restore(session),
                // Sides that went different ways count differently from then on.
                false => schema::restore_counters(session),
            };
            self.run(&statements)?;
        }
        Ok(())
    }
}

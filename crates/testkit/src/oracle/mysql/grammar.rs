//! Random programs: equal seeds and styles give equal programs.
//!
//! A generator need not know what a server will say; it only keeps sessions from waiting for each other. A session that holds
//! a backend (in a transaction, pinned) keeps it from the others, so a program has no more sessions at a time than its bench has
//! backends. Each session writes in databases of its own and takes locks with names of its own.

mod commands;
mod settings;
mod statements;

use super::program::{Act, Opening, Program, Step, Who};
use crate::model::SplitMix64;

/// What programs are like.
#[derive(Debug, Clone)]
pub struct Style {
    /// The user may do everything.
    pub superuser: bool,
    /// Backends behind the proxy, so sessions at a time.
    pub backends: u8,
    /// The server is MariaDB.
    pub mariadb: bool,
}

/// What the generator remembers of a session.
#[derive(Debug, Default)]
pub struct Session {
    /// As it stands in the names of its databases.
    letter: &'static str,
    /// How many parameters its prepared statements have.
    prepared: [Option<u8>; 3],
    /// Several statements in one message are read as such.
    multi_statements: bool,
}

impl Session {
    fn new(who: Who, opening: &Opening) -> Session {
        Session {
            letter: letter(who),
            prepared: [None; 3],
            multi_statements: opening.multi_statements,
        }
    }

    /// A text with its own databases in place of `{}`.
    fn own(&self, text: &str) -> String {
        text.replace("{}", &format!("db_{}", self.letter))
    }
}

fn letter(who: Who) -> &'static str {
    match who {
        Who::Client(0) => "0",
        Who::Client(_) => "1",
        Who::Neighbour(_) => "n",
    }
}

/// The program of a seed.
pub fn program(seed: u64, style: &Style) -> Program {
    let mut rng = SplitMix64::new(seed);
    let mut program = Program::default();
    if style.backends < 2 {
        one_at_a_time(&mut rng, style, &mut program);
    } else {
        together(&mut rng, style, &mut program);
    }
    program
}

/// One backend: sessions follow each other, each finds what the one before left.
fn one_at_a_time(rng: &mut SplitMix64, style: &Style, program: &mut Program) {
    for _ in 0..rng.between(1, 2) {
        let neighbour = Who::Neighbour(0);
        let opening = opening(rng, neighbour);
        push(program, neighbour, Act::Open(opening.clone()));
        for _ in 0..rng.between(1, 3) {
            push(program, neighbour, dirt(rng, style));
        }
        push(program, neighbour, Act::Close);
        let client = Who::Client(0);
        // The same dialect shares the neighbour's backend.
        let opening = match rng.chance(70) {
            true => Opening {
                database: Some("db_0a".into()),
                ..opening
            },
            false => self::opening(rng, client),
        };
        let mut session = Session::new(client, &opening);
        push(program, client, Act::Open(opening));
        for _ in 0..rng.between(3, 14) {
            let act = commands::act(rng, style, &mut session);
            push(program, client, act);
        }
        last_questions(program, client, style);
    }
}

/// Several sessions in turn.
fn together(rng: &mut SplitMix64, style: &Style, program: &mut Program) {
    let clients = if style.backends > 2 && rng.chance(60) {
        2
    } else {
        1
    };
    let neighbour = Who::Neighbour(0);
    let first = opening(rng, neighbour);
    push(program, neighbour, Act::Open(first.clone()));
    push(program, neighbour, dirt(rng, style));
    let begin = |rng: &mut SplitMix64, program: &mut Program, who: Who| {
        let opening = match rng.chance(60) {
            true => Opening {
                database: Some(format!("db_{}a", letter(who))),
                ..first.clone()
            },
            false => opening(rng, who),
        };
        let session = Session::new(who, &opening);
        push(program, who, Act::Open(opening));
        session
    };
    let mut sessions: Vec<Session> = Vec::new();
    for number in 0..clients {
        sessions.push(begin(rng, program, Who::Client(number)));
    }
    for _ in 0..rng.between(5, 26) {
        if rng.chance(22) {
            disturb(rng, style, program, neighbour);
            continue;
        }
        let number = u8::from(rng.below(u64::from(clients)) == 1);
        let who = Who::Client(number);
        let act = commands::act(rng, style, &mut sessions[usize::from(number)]);
        push(program, who, act);
        if rng.chance(3) {
            push(program, who, Act::Close);
            sessions[usize::from(number)] = begin(rng, program, who);
        }
    }
    for number in 0..clients {
        last_questions(program, Who::Client(number), style);
    }
}

fn disturb(rng: &mut SplitMix64, style: &Style, program: &mut Program, neighbour: Who) {
    push(program, neighbour, dirt(rng, style));
    if rng.chance(15) {
        push(program, neighbour, Act::Close);
        let opening = opening(rng, neighbour);
        push(program, neighbour, Act::Open(opening));
    }
}

/// A transaction that is open ends, then everything is asked for.
fn last_questions(program: &mut Program, who: Who, style: &Style) {
    push(program, who, Act::query("ROLLBACK"));
    push(program, who, Act::query(settings::all(style)));
    push(
        program,
        who,
        Act::query("SELECT DATABASE(), @x, @y, @seen, COLLATION('a'), CURRENT_ROLE()"),
    );
    push(program, who, Act::Close);
}

fn push(program: &mut Program, who: Who, act: Act) {
    program.steps.push(Step { who, act });
}

fn opening(rng: &mut SplitMix64, who: Who) -> Opening {
    let database = match rng.below(10) {
        0 => None,
        1 | 2 => Some(format!("db_{}b", letter(who))),
        _ => Some(format!("db_{}a", letter(who))),
    };
    Opening {
        database,
        // Collations that every server knows by one byte: utf8mb4_general_ci, utf8mb4_bin, latin1_swedish_ci, utf8mb3_general_ci.
        collation: match rng.below(8) {
            0 => 46,
            1 => 8,
            2 => 33,
            _ => 45,
        },
        deprecate_eof: rng.chance(60),
        session_track: rng.chance(50),
        found_rows: rng.chance(20),
        multi_statements: rng.chance(70),
        ignore_space: rng.chance(10),
    }
}

/// What a neighbour does: it leaves as much behind as one step can.
fn dirt(rng: &mut SplitMix64, style: &Style) -> Act {
    let own = Session {
        letter: "n",
        ..Session::default()
    };
    match rng.below(16) {
        0 => Act::query("BEGIN"),
        1 => Act::query("ROLLBACK"),
        2 => Act::query(own.own("USE {}b")),
        3 => Act::InitDb(own.own("{}a")),
        4 => Act::query("PREPARE q FROM 'SELECT ''a neighbour'''"),
        5 => Act::query(
            own.own("CREATE TEMPORARY TABLE IF NOT EXISTS {}a.tt AS SELECT 'a neighbour' AS a"),
        ),
        6 => Act::query("SELECT GET_LOCK('db_n', 0)"),
        7 => Act::Prepare(1, "SELECT 'a neighbour', ?".into()),
        8 => Act::query(own.own("INSERT INTO {}a.t (v) VALUES ('n'), ('m')")),
        9 => Act::query("SET @x = 'a neighbour', @y = 99, @seen = 'n'"),
        10 => Act::query(own.own("CALL {}a.p_set(300000)")),
        11 => Act::query("SELECT 1/0, CAST('n' AS SIGNED)"),
        12 => Act::Reset,
        _ => Act::Query(settings::several(rng, style)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(backends: u8) -> Style {
        Style {
            superuser: true,
            backends,
            mariadb: backends == 2,
        }
    }

    #[test]
    fn equal_seeds_give_equal_programs() {
        for backends in 1..4 {
            assert_eq!(program(7, &style(backends)), program(7, &style(backends)));
            assert_ne!(program(7, &style(backends)), program(8, &style(backends)));
        }
    }

    #[test]
    fn there_are_never_more_sessions_than_backends() {
        for seed in 0..300 {
            let backends = 1 + u8::try_from(seed % 3).expect("small");
            let mut open = std::collections::BTreeSet::new();
            for step in program(seed, &style(backends)).steps {
                match step.act {
                    Act::Open(_) => open.insert(step.who),
                    Act::Close => open.remove(&step.who),
                    _ => continue,
                };
                assert!(open.len() <= usize::from(backends), "seed {seed}");
            }
        }
    }
}

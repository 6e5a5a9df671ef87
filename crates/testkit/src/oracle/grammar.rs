//! Random programs: equal seeds and styles give equal programs.
//!
//! A generator need not know what a server will say; it only keeps sessions from waiting for each other. A session that holds
//! a backend (in a transaction, pinned) keeps it from the others, so a program has no more sessions at a time than its bench has
//! backends. Sessions lock only rows, keys and schemas of their own.

mod exchanges;
mod settings;
mod statements;

use super::program::{Act, Program, Step, Who};
use crate::model::SplitMix64;

/// What programs are like.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)]
pub struct Style {
    /// The user may do everything.
    pub superuser: bool,
    /// Backends behind the proxy, so sessions at a time.
    pub backends: u8,
    /// Clients change settings in functions and triggers, too, and see the change later.
    pub hidden: bool,
    /// LISTEN and NOTIFY.
    pub listen: bool,
    /// PREPARE and EXECUTE as statements.
    pub sql_prepare: bool,
}

/// What the generator remembers of a session.
#[derive(Debug, Default)]
pub struct Session {
    number: u8,
    /// Probably.
    in_transaction: bool,
    /// It has startup parameters, which come back after a RESET at the end of its query string or segment only.
    baseline: bool,
    /// Parameters of named statements, by the number in their names; the last place is the unnamed one's.
    prepared: [Option<Vec<Option<String>>>; 4],
}

impl Session {
    fn new(number: u8, open: &Act) -> Session {
        let baseline = matches!(open, Act::Open(parameters) if !parameters.is_empty());
        Session {
            number,
            baseline,
            ..Session::default()
        }
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
        push(program, neighbour, open(rng, true));
        for _ in 0..rng.between(1, 3) {
            push(program, neighbour, dirt(rng, style));
        }
        push(program, neighbour, Act::Close);
        let client = Who::Client(0);
        let act = open(rng, false);
        let mut session = Session::new(0, &act);
        push(program, client, act);
        for _ in 0..rng.between(3, 14) {
            let act = exchanges::act(rng, style, &mut session);
            push(program, client, act);
        }
        last_questions(program, client);
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
    push(program, neighbour, open(rng, true));
    push(program, neighbour, dirt(rng, style));
    let mut sessions: Vec<Session> = Vec::new();
    for number in 0..clients {
        let act = open(rng, false);
        sessions.push(Session::new(number, &act));
        push(program, Who::Client(number), act);
    }
    for _ in 0..rng.between(5, 26) {
        if rng.chance(22) {
            disturb(rng, style, program, neighbour);
            continue;
        }
        let number = rng.below(u64::from(clients)) as usize;
        let who = Who::Client(sessions[number].number);
        let act = exchanges::act(rng, style, &mut sessions[number]);
        push(program, who, act);
        if rng.chance(3) {
            push(program, who, Act::Close);
            let act = open(rng, false);
            sessions[number] = Session::new(sessions[number].number, &act);
            push(program, who, act);
        }
    }
    for number in 0..clients {
        last_questions(program, Who::Client(number));
    }
}

fn disturb(rng: &mut SplitMix64, style: &Style, program: &mut Program, neighbour: Who) {
    push(program, neighbour, dirt(rng, style));
    if rng.chance(15) {
        push(program, neighbour, Act::Close);
        push(program, neighbour, open(rng, true));
    }
}

/// A transaction that is open ends, then everything is asked for.
fn last_questions(program: &mut Program, who: Who) {
    push(program, who, Act::query("ROLLBACK"));
    push(program, who, Act::query(statements::ALL_SETTINGS));
    push(
        program,
        who,
        Act::query("SELECT current_user, session_user, current_schemas(false)"),
    );
    push(program, who, Act::Close);
}

fn push(program: &mut Program, who: Who, act: Act) {
    program.steps.push(Step { who, act });
}

fn open(rng: &mut SplitMix64, neighbour: bool) -> Act {
    let mut parameters: Vec<(String, String)> = Vec::new();
    let percent = if neighbour { 60 } else { 35 };
    while rng.chance(percent) && parameters.len() < 4 {
        let (name, value) = settings::at_start(rng);
        if parameters.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if rng.chance(30) && !parameters.iter().any(|(known, _)| known == "options") {
            let escaped = value.replace('\\', "\\\\").replace(' ', "\\ ");
            parameters.push(("options".into(), format!("-c {name}={escaped}")));
        } else {
            parameters.push((name, value));
        }
    }
    Act::Open(parameters)
}

/// What a neighbour does: it leaves as much behind as one step can.
fn dirt(rng: &mut SplitMix64, style: &Style) -> Act {
    let mut texts = Vec::new();
    for _ in 0..rng.between(1, 5) {
        texts.push(match rng.below(10) {
            0 | 1 => settings::hidden(rng, style),
            _ => settings::change(rng, style),
        });
    }
    // Its own names: the clients' must not exist where they have not set them.
    let text = texts.join("; ").replace("my.", "nb.");
    match rng.below(12) {
        0 => Act::Query(format!("BEGIN; {text}; ROLLBACK")),
        1 => Act::Query(format!("BEGIN; {text}; COMMIT")),
        2 => Act::query("PREPARE q AS SELECT 'a neighbour'"),
        3 => {
            Act::query("CREATE TEMP TABLE IF NOT EXISTS t AS SELECT 'a neighbour' AS a; LISTEN nb")
        }
        4 => Act::query("SELECT pg_advisory_lock(99, 1), setseed(0.1)"),
        5 => Act::query("DISCARD ALL"),
        _ => Act::Query(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(backends: u8) -> Style {
        Style {
            superuser: true,
            backends,
            hidden: true,
            listen: true,
            sql_prepare: true,
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

//! Programs written by hand: what seeds seldom reach, and what was once wrong.

use super::program::{Act, Opening, Program, Step, Who};

/// A program with a name for its failure.
pub type Scripted = (&'static str, Program);

/// All of them; each works with one backend.
pub fn all() -> Vec<Scripted> {
    vec![
        (
            "settings one by one",
            queries(&[
                "SET sort_buffer_size = 400000",
                "SELECT @@sort_buffer_size, @@sql_mode, @@time_zone",
                "SET sql_mode = 'ANSI_QUOTES'",
                "SELECT @@sql_mode",
                "SELECT @x",
            ]),
        ),
        (
            "shared storage: one flag of many",
            queries(&[
                "SET unique_checks = 0",
                "SELECT @@unique_checks, @@foreign_key_checks, @@autocommit",
            ]),
        ),
        (
            "a procedure that sets and fails",
            queries(&["CALL p_fail(350000)", "SELECT @@sort_buffer_size, @x"]),
        ),
        (
            "a chained transaction",
            queries(&[
                "BEGIN",
                "INSERT INTO t (v) VALUES ('a')",
                "COMMIT AND CHAIN",
                "INSERT INTO t (v) VALUES ('b')",
                "ROLLBACK",
                "SELECT LAST_INSERT_ID(), @@autocommit",
            ]),
        ),
    ]
}

fn queries(texts: &[&str]) -> Program {
    program(texts.iter().map(|text| Act::query(*text)).collect())
}

/// A neighbour dirties the backend, then the client does its acts.
fn program(acts: Vec<Act>) -> Program {
    let step = |who: Who, act: Act| Step { who, act };
    let neighbour = |act| step(Who::Neighbour(0), act);
    let client = |act| step(Who::Client(0), act);
    let mut steps = vec![
        neighbour(Act::Open(Opening {
            database: Some("db_na".into()),
            ..Opening::default()
        })),
        neighbour(Act::query(
            "SET sort_buffer_size = 999999, sql_mode = '', time_zone = '+05:00', foreign_key_checks = 0, @x = 'n'",
        )),
        neighbour(Act::query("USE db_nb")),
        neighbour(Act::Close),
        client(Act::Open(Opening::default())),
    ];
    steps.extend(acts.into_iter().map(client));
    steps.push(client(Act::Close));
    Program { steps }
}

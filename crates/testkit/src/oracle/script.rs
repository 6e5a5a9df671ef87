//! Programs written by hand: what seeds seldom reach, and what was once wrong.

use super::program::{Act, Extended, Program, Step, Who};

/// A program with a name for its failure.
pub type Scripted = (&'static str, Program);

/// All of them; each works with one backend.
pub fn all() -> Vec<Scripted> {
    vec![
        (
            "rolled back settings",
            queries(&[
                "SET work_mem TO '5MB'",
                "BEGIN",
                "SET work_mem TO '6MB'",
                "ROLLBACK",
                "SHOW work_mem",
            ]),
        ),
        (
            "a failed string of statements",
            queries(&["SET TimeZone TO 'UTC'; SELECT 1/0", "SHOW TimeZone"]),
        ),
        (
            "a chained transaction",
            queries(&[
                "BEGIN",
                "SET work_mem TO '6MB'",
                "COMMIT AND CHAIN",
                "SET work_mem TO '7MB'",
                "ROLLBACK",
                "SHOW work_mem",
            ]),
        ),
        (
            "savepoints of one name",
            queries(&[
                "BEGIN",
                "SET work_mem TO '1MB'",
                "SAVEPOINT a",
                "SET work_mem TO '2MB'",
                "SAVEPOINT a",
                "SET work_mem TO '3MB'",
                "ROLLBACK TO a",
                "SHOW work_mem",
                "RELEASE a",
                "ROLLBACK TO a",
                "COMMIT",
                "SHOW work_mem",
            ]),
        ),
        (
            "a commit that fails",
            queries(&[
                "BEGIN",
                "SET work_mem TO '6MB'",
                "INSERT INTO late VALUES ('c0', 1), ('c0', 1)",
                "COMMIT",
                "SHOW work_mem",
            ]),
        ),
        (
            "the default for a transaction",
            Program {
                steps: [
                    Act::Open(vec![
                        ("TimeZone".into(), "America/New_York".into()),
                        ("work_mem".into(), "5MB".into()),
                    ]),
                    Act::query("BEGIN"),
                    Act::query("SET LOCAL TIME ZONE LOCAL"),
                    Act::query("SET LOCAL work_mem TO DEFAULT"),
                    Act::query("SHOW work_mem"),
                    Act::query("SET LOCAL work_mem TO '9MB'"),
                    Act::query("SAVEPOINT a"),
                    Act::query("SET LOCAL work_mem TO DEFAULT"),
                    Act::query("ROLLBACK TO a"),
                    Act::query("SHOW work_mem"),
                    Act::query("SHOW TimeZone"),
                    Act::query("COMMIT"),
                    Act::query("SHOW work_mem"),
                    Act::query("SET TimeZone TO 'UTC'"),
                    Act::query("BEGIN"),
                    Act::query("SET LOCAL TimeZone TO DEFAULT"),
                    Act::query("SHOW TimeZone"),
                    Act::query("ROLLBACK"),
                    Act::query("SHOW TimeZone"),
                    Act::query("SHOW TimeZone"),
                ]
                .map(|act| Step {
                    who: Who::Client(0),
                    act,
                })
                .to_vec(),
            },
        ),
        (
            "a pipeline that fails behind its SET",
            program(vec![
                Act::Extended(vec![
                    Extended::Parse(String::new(), "SET work_mem TO '6MB'".into()),
                    Extended::Bind(String::new(), String::new(), Vec::new()),
                    Extended::Execute(String::new(), 0),
                    Extended::Parse(String::new(), "SELECT 1/0".into()),
                    Extended::Bind(String::new(), String::new(), Vec::new()),
                    Extended::Execute(String::new(), 0),
                    Extended::Sync,
                ]),
                Act::query("SHOW work_mem"),
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
    let mut steps = vec![
        neighbour(Act::Open(Vec::new())),
        neighbour(Act::query(
            "SET work_mem TO '99MB'; SET TimeZone TO 'Asia/Tokyo'; SET search_path TO s2",
        )),
        neighbour(Act::Close),
        step(Who::Client(0), Act::Open(Vec::new())),
    ];
    steps.extend(acts.into_iter().map(|act| step(Who::Client(0), act)));
    steps.push(step(Who::Client(0), Act::Close));
    Program { steps }
}

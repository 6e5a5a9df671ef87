//! What a client sees through the engine, over two backends that it shares with a neighbour who leaves everything behind that can be
//! left, is what it would see from a server of its own.
//!
//! Valid streams at random: simple and extended queries, COPY, errors, transactions, settings, statements by name and without, in
//! pieces of any size. Compared after each write is every message but ParameterStatus, and what ParameterStatus has told by then.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "support/mod.rs"]
mod support;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::messages::{Field, From, Line};
use support::server::Server;
use support::world::World;

/// `FOREBAY_CASES` and `FOREBAY_SEED` choose others.
const CASES: u32 = 400;

fn config() -> ProptestConfig {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    ProptestConfig {
        cases: number("FOREBAY_CASES").map_or(CASES, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(number("FOREBAY_SEED").unwrap_or(1)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_client_sees_what_it_would_see_from_a_server_of_its_own(
        writes in prop::collection::vec(write(), 1..12),
        choices in prop::collection::vec(any::<u8>(), 16),
    ) {
        let mut through = Through::new(choices);
        let mut direct = Direct::default();
        for (number, write) in writes.iter().enumerate() {
            let bytes: Vec<u8> =
                write.lines.iter().flat_map(|line| Line::parse(line).encode(From::Client)).collect();
            let wanted = direct.write(&bytes);
            let seen = through.write(&bytes, write.piece);
            prop_assert_eq!(seen, wanted, "write {}: {:#?}", number, &write.lines);
            through.neighbour(write.neighbour);
        }
    }
}

/// Messages that a client sends without waiting for answers.
#[derive(Debug, Clone)]
struct Write {
    lines: Vec<String>,
    /// Bytes that arrive at a time.
    piece: usize,
    /// What the neighbour does afterwards.
    neighbour: usize,
}

fn write() -> impl Strategy<Value = Write> {
    let segments = prop::collection::vec(segment(), 1..4);
    let piece = prop_oneof![Just(usize::MAX), 1..40_usize];
    (segments, piece, 0..NEIGHBOUR.len()).prop_map(|(segments, piece, neighbour)| Write {
        lines: segments.into_iter().flatten().collect(),
        piece,
        neighbour,
    })
}

/// Messages up to one that ReadyForQuery answers.
fn segment() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        4 => sql().prop_map(|sql| vec![format!("Query \"{sql}\"")]),
        2 => (plain(), plain()).prop_map(together),
        6 => (prop::collection::vec(extended(), 1..6), any::<bool>()).prop_map(|(steps, flushes)| {
            let mut lines: Vec<String> = steps.into_iter().flatten().collect();
            if flushes {
                lines.insert(lines.len() / 2, "Flush".to_owned());
            }
            lines.push("Sync".to_owned());
            lines
        }),
        1 => copy_in(),
        1 => Just(vec!["FunctionCall 954".to_owned()]),
        1 => Just(vec!["Sync".to_owned()]),
    ]
}

/// Two statements of one query. In a failed transaction nothing can be prepared for the one behind its end.
fn together((a, b): (String, String)) -> Vec<String> {
    let ends = matches!(&*a, "commit" | "rollback") && b.starts_with("execute");
    let b = if ends { "select 0" } else { &b };
    vec![format!("Query \"{a}; {b}\"")]
}

/// Statements that stand together with others.
fn plain() -> impl Strategy<Value = String> {
    let value = 0..3_u8;
    prop_oneof![
        4 => (0..4_u8).prop_map(|n| format!("select {n}")),
        2 => value.clone().prop_map(|n| format!("set application_name to 'a{n}'")),
        2 => value.prop_map(|n| format!("set my.tenant to 't{n}'")),
        1 => Just("reset my.tenant".to_owned()),
        2 => Just("fail".to_owned()),
        2 => Just("begin".to_owned()),
        2 => Just("commit".to_owned()),
        1 => Just("rollback".to_owned()),
        1 => Just("copy t to stdout".to_owned()),
        4 => prepared(),
    ]
}

/// SQL's own prepared statements; one of the names is also given by the protocol.
fn prepared() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&["q", "q", "s1"][..]);
    prop_oneof![
        2 => (name.clone(), 0..3_u8).prop_map(|(name, n)| format!("prepare {name} as select {n}0")),
        3 => name.clone().prop_map(|name| format!("execute {name}")),
        1 => name.prop_map(|name| format!("deallocate {name}")),
    ]
}

fn sql() -> impl Strategy<Value = String> {
    const RARE: &[&str] = &[
        "savepoint a",
        "rollback to a",
        "reset all",
        "discard all",
        "deallocate all",
        "deallocate s1",
        "",
    ];
    prop_oneof![4 => plain(), 1 => prop::sample::select(RARE).prop_map(str::to_owned)]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "s1", "s2", "q"][..])
}

/// In a failed transaction only its end may be prepared, so that a name that is taken cannot be found out on a backend without it.
fn parse((name, text): (&str, String)) -> Vec<String> {
    let ends = matches!(&*text, "commit" | "rollback");
    let text = if ends && !name.is_empty() {
        "select 0"
    } else {
        &text
    };
    vec![format!("Parse \"{name}\" \"{text}\"")]
}

fn extended() -> impl Strategy<Value = Vec<String>> {
    let text = prop_oneof![
        6 => plain(),
        1 => Just("selec 1".to_owned()),
        1 => prop::sample::select(&["deallocate all", "deallocate s1", "discard all"][..])
            .prop_map(str::to_owned),
    ];
    let run = |name: &str| vec![format!("Bind \"\" \"{name}\""), "Execute \"\" 0".to_owned()];
    prop_oneof![
        3 => (name(), text).prop_map(parse),
        4 => name().prop_map(run),
        1 => name().prop_map(|name| vec![format!("Describe S \"{name}\"")]),
        1 => name().prop_map(|name| vec![format!("Close S \"{name}\"")]),
        1 => Just(vec!["Describe P \"\"".to_owned()]),
        1 => Just(vec!["Execute \"gone\" 0".to_owned()]),
    ]
}

/// COPY FROM STDIN with its data, which may fail at once, at its first row, by its client, or not at all.
fn copy_in() -> impl Strategy<Value = Vec<String>> {
    let table = prop::sample::select(&["t", "bad", "view"][..]);
    let end = prop::sample::select(&["CopyDone", "CopyFail \"no\""][..]);
    (table, end, 0..3_usize, 0..3_u8).prop_map(|(table, end, rows, how)| {
        let sql = format!("copy {table} from stdin");
        let mut lines = match how {
            0 => vec![format!("Query \"{sql}\"")],
            _ => vec![
                format!("Parse \"\" \"{sql}\""),
                "Bind \"\" \"\"".to_owned(),
                "Execute \"\" 0".to_owned(),
            ],
        };
        if how == 2 {
            lines.push("Sync".to_owned());
        }
        lines.extend(std::iter::repeat_n("CopyData \"1\"".to_owned(), rows));
        lines.push(end.to_owned());
        if how > 0 {
            // Run again it would take what follows for its data.
            let end = ["Sync", "Close S \"\"", "Sync"];
            lines.extend(end.map(str::to_owned));
        }
        lines
    })
}

/// What the neighbour does in one write.
const NEIGHBOUR: &[&[&str]] = &[
    &[],
    &["Query \"set application_name to 'neighbour'\""],
    &["Query \"set my.tenant to 'other'\""],
    &["Parse \"\" \"select 99\"", "Sync"],
    &["Parse \"s1\" \"select 98\"", "Sync"],
    &[
        "Parse \"s1\" \"select 1\"",
        "Bind \"\" \"s1\"",
        "Execute \"\" 0",
        "Sync",
    ],
    &["Bind \"\" \"nope\"", "Parse \"\" \"select 97\"", "Sync"],
    &["Close S \"s1\"", "Sync"],
    &["Query \"discard all\""],
    &["FunctionCall 952"],
    &["Query \"prepare q as select 96\""],
    &["Query \"prepare s1 as select 95\""],
    &["Query \"execute q\""],
    &["Query \"deallocate q\""],
];

/// What was seen, and what the reports have told.
type Seen = (Vec<String>, String);

#[derive(Default)]
struct Direct {
    server: Server,
    application_name: String,
}

impl Direct {
    fn write(&mut self, bytes: &[u8]) -> Seen {
        let sent = self.server.on_bytes(bytes);
        seen(&sent, &mut self.application_name)
    }
}

/// Cuts bytes into lines; reports are taken out.
fn seen(bytes: &[u8], application_name: &mut String) -> Seen {
    let (lines, rest) = Line::decode_all(From::Backend, bytes);
    assert!(rest.is_empty(), "half a message at the end");
    let mut shown = Vec::new();
    for line in lines {
        match (line.name.as_str(), line.fields.as_slice()) {
            ("ParameterStatus", [Field::Text(name), Field::Text(value)]) => {
                assert_eq!(name, b"application_name");
                *application_name = String::from_utf8(value.clone()).unwrap();
            }
            _ => shown.push(line.to_string()),
        }
    }
    (shown, application_name.clone())
}

struct Through {
    world: World,
    servers: [Server; 2],
    application_name: String,
    choices: Vec<u8>,
    turn: usize,
}

const CLIENT: usize = 0;
const OTHER: usize = 1;

impl Through {
    fn new(choices: Vec<u8>) -> Through {
        let mut world = World::new(2);
        for client in [CLIENT, OTHER] {
            assert_eq!(world.add_client(&[], false), client);
            world.lease(client, 0);
            world.clients[client].sent.clear();
        }
        let (servers, application_name) = Default::default();
        Through {
            world,
            servers,
            application_name,
            choices,
            turn: 0,
        }
    }

    fn choice(&mut self) -> usize {
        self.turn += 1;
        usize::from(self.choices[self.turn % self.choices.len()])
    }

    fn write(&mut self, bytes: &[u8], piece: usize) -> Seen {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            self.world.client_bytes(CLIENT, now);
            if self.choice().is_multiple_of(2) {
                self.run();
            }
            rest = later;
        }
        self.run();
        assert_eq!(self.world.bug, None);
        assert_eq!(
            self.world.stuck(),
            None,
            "{:?}",
            self.world.clients[CLIENT].inbox.escape_ascii().to_string()
        );
        let sent = std::mem::take(&mut self.world.clients[CLIENT].sent);
        seen(&sent, &mut self.application_name)
    }

    fn neighbour(&mut self, what: usize) {
        for line in NEIGHBOUR[what] {
            let bytes = Line::parse(line).encode(From::Client);
            self.world.client_bytes(OTHER, &bytes);
        }
        self.run();
        assert_eq!(self.world.bug, None);
    }

    /// Lends and answers until nothing moves any more.
    fn run(&mut self) {
        loop {
            let mut moved = false;
            for client in [CLIENT, OTHER] {
                let first = self.choice() % 2;
                let free = [first, 1 - first]
                    .into_iter()
                    .find(|&backend| self.world.backends[backend].client.is_none());
                if let Some(backend) = free.filter(|_| self.world.clients[client].waiting) {
                    self.world.lease(client, backend);
                    moved = true;
                }
            }
            for (index, server) in self.servers.iter_mut().enumerate() {
                let backend = &mut self.world.backends[index];
                assert!(
                    !backend.gone,
                    "a backend was closed: {:?} {:?}",
                    self.world.bug, self.world.noted
                );
                let sent = std::mem::take(&mut backend.sent);
                if !sent.is_empty() {
                    let replies = server.on_bytes(&sent);
                    self.world.backend_bytes(index, &replies);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }
}

//! One function for each fuzz target: any bytes in, a panic if something is wrong. Nothing panics by itself, nothing is consumed that is
//! not there, made bytes are bounded, and after the end nothing more is ordered.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a finding is reported"
)]

use crate::support::making;
use crate::support::messages::{From, Line};
use crate::support::server::Server;
use crate::support::world::World;
use forebay_core::engine::{BackendFacts, Purpose};
use forebay_core::orders::{Order, Orders};
use forebay_core::snapshot::{ClientAuth, Credential};
use forebay_postgres::backend_login::BackendLogin;
use forebay_postgres::client_login::ClientLogin;
use forebay_postgres::exchange::Exchange;
use forebay_postgres::login_cache::{self, Done, LoginCache, Work};
use forebay_postgres::relay;
use forebay_postgres::sql::{self, Class};
use forebay_postgres::wire::HEADER_BYTES;
use forebay_postgres::wire::read::{ErrorFields, data_row};
use forebay_postgres::wire::startup;
use std::sync::Arc;

/// Bytes that a login may make in answer to one input.
const LOGIN_BYTES_MAX: usize = 64 * 1024;

/// What a target does with one input.
pub type Body = fn(&[u8]);

/// Every target by name.
pub const ALL: &[(&str, Body)] = &[
    ("startup", startup),
    ("client_login", client_login),
    ("backend_login", backend_login),
    ("client_side", client_side),
    ("backend_side", backend_side),
    ("sql", sql),
    ("error_fields", error_fields),
];

/// The first packet of a client: as it is read, and by the machine that reads it.
pub fn startup(data: &[u8]) {
    match startup::first(data) {
        Ok(Ok((packet, len))) => {
            assert!(len <= data.len() && len <= startup::STARTUP_BYTES_MAX);
            if let startup::First::Startup { parameters, .. } = packet {
                let _ = startup::pairs(parameters);
            }
        }
        Ok(Err(need)) => assert!(need > data.len() && need <= startup::STARTUP_BYTES_MAX),
        Err(_) => {}
    }
    let mut machine = client_machine(ClientAuth::ScramSha256);
    Feed::default().all(data, |cache, input, orders| {
        machine.on_bytes(cache, input, orders);
    });
}

/// A client's whole login; the first byte chooses what it must prove itself with and how the bytes are cut.
pub fn client_login(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let auth = match how % 3 {
        0 => ClientAuth::ScramSha256,
        1 => ClientAuth::Md5,
        _ => ClientAuth::ClearText,
    };
    let machine = std::cell::RefCell::new(client_machine(auth));
    let mut feed = Feed::default();
    feed.all_in_pieces(
        data,
        piece(how / 3),
        |cache, input, orders| machine.borrow_mut().on_bytes(cache, input, orders),
        |cache, done, orders| machine.borrow_mut().on_work(cache, done, orders),
    );
}

/// A server's side of our login; the first byte chooses what it is for and how the bytes are cut.
pub fn backend_login(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let own = |name: &str| Purpose::Dedicated(vec![(name.into(), b"true".to_vec())]);
    let purpose = match how % 3 {
        0 if how >= 0x80 => own("log_connections"),
        0 => Purpose::Pooled,
        1 => own("replication"),
        _ => Purpose::Cancel {
            process: 7,
            secret: vec![1, 2, 3, 4],
        },
    };
    let mut orders = Orders::default();
    let facts = BackendFacts {
        oldest_version: how & 0x40 != 0,
        ..making::backend_facts(purpose)
    };
    let machine = std::cell::RefCell::new(BackendLogin::new(facts, &mut orders));
    let mut feed = Feed::default();
    feed.all_in_pieces(
        data,
        piece(how / 3),
        |cache, input, orders| machine.borrow_mut().on_bytes(cache, input, orders),
        |cache, done, orders| machine.borrow_mut().on_work(cache, done, orders),
    );
}

/// Anything from a client that is logged in, cut anywhere, while honest servers answer on two backends. The first byte chooses the
/// pieces, the second how often servers get to answer.
pub fn client_side(data: &[u8]) {
    let [how, rhythm, data @ ..] = data else {
        return;
    };
    relayed(data, piece(*how));
    let mut world = world();
    let mut servers: [Server; 2] = Default::default();
    let rhythm = usize::from(*rhythm % 7) + 1;
    for (number, part) in data.chunks(piece(*how)).enumerate() {
        world.client_bytes(0, part);
        if number % rhythm == 0 {
            serve(&mut world, &mut servers, number);
        }
    }
    serve(&mut world, &mut servers, 0);
    assert_eq!(world.bug, None, "a client made an incident of ours");
    let made: usize = world.clients[0].sent.len();
    assert!(
        made <= 4096 + 512 * data.len(),
        "{made} bytes for {}",
        data.len()
    );
    world.vanish(0);
    for (index, backend) in world.backends.iter().enumerate() {
        let idle = !backend.gone && backend.state.exchange.is_clean();
        assert!(
            !idle || servers[index].status() == b'I' && !servers[index].reads_copy(),
            "a backend in a transaction counts as clean"
        );
    }
}

/// Anything from a backend while a client has asked for something. The first byte chooses the request, the second the pieces.
pub fn backend_side(data: &[u8]) {
    let [request, how, data @ ..] = data else {
        return;
    };
    let mut world = world();
    let request = REQUESTS[usize::from(*request) % REQUESTS.len()];
    let bytes: Vec<u8> = request
        .iter()
        .flat_map(|line| Line::parse(line).encode(From::Client))
        .collect();
    world.client_bytes(0, &bytes);
    if world.clients[0].waiting {
        world.lease(0, 0);
    }
    for part in data.chunks(piece(*how)) {
        world.backend_bytes(0, part);
    }
    let seen = world.clients[0].sent.len();
    assert!(
        seen <= 4096 + 2 * data.len(),
        "{seen} bytes for {}",
        data.len()
    );
    world.vanish(0);
}

/// What a client has asked for when its backend starts to say anything.
const REQUESTS: &[&[&str]] = &[
    &[],
    &["Query \"select 1\""],
    &["Query \"set a to 1; begin; savepoint s; rollback to s; select 1\""],
    &[
        "Parse \"s\" \"set timezone to 'UTC'\"",
        "Describe S \"s\"",
        "Bind \"\" \"s\"",
        "Execute \"\" 0",
        "Close S \"s\"",
        "Sync",
    ],
    &[
        "Parse \"\" \"select 1\"",
        "Bind \"\" \"\"",
        "Execute \"\" 0",
        "Sync",
        "Query \"select 2\"",
    ],
    &[
        "Query \"copy t from stdin\"",
        "CopyData \"1\"",
        "CopyDone",
        "Query \"deallocate all\"",
    ],
    &["FunctionCall 1", "Sync"],
    &["Query \"discard all\"", "Terminate"],
    &[
        "Parse \"s\" \"select 1\"",
        "Parse \"s\" \"select 2\"",
        "Flush",
    ],
];

/// Any text of a query.
pub fn sql(data: &[u8]) {
    for conforming in [true, false] {
        if let Class::Statements(effects) = sql::classify(data, conforming) {
            assert!(effects.len() <= data.len(), "more statements than bytes");
        }
    }
}

/// Any body of an error, and of a row.
pub fn error_fields(data: &[u8]) {
    let error = ErrorFields::read(data);
    for field in [error.severity, error.code, error.message] {
        assert!(field.len() <= data.len());
    }
    let _ = error.is_fatal();
    if let Ok(columns) = data_row(data) {
        let bytes: usize = columns.iter().flatten().map(|column| column.len()).sum();
        assert!(bytes <= data.len());
    }
}

/// Two idle backends and a client that has logged in.
fn world() -> World {
    let mut world = World::new(2);
    let client = world.add_client(&[], false);
    world.lease(client, 0);
    world.clients[client].sent.clear();
    world
}

/// Lends and answers until nothing moves.
fn serve(world: &mut World, servers: &mut [Server; 2], first: usize) {
    loop {
        let mut moved = false;
        let free = [first % 2, (first + 1) % 2]
            .into_iter()
            .find(|&index| !world.backends[index].gone && world.backends[index].client.is_none());
        if let Some(index) = free.filter(|_| world.clients[0].waiting) {
            world.lease(0, index);
            moved = true;
        }
        for (index, server) in servers.iter_mut().enumerate() {
            let sent = std::mem::take(&mut world.backends[index].sent);
            if !sent.is_empty() {
                let replies = server.on_bytes(&sent);
                world.backend_bytes(index, &replies);
                moved |= !replies.is_empty();
            }
        }
        if !moved {
            return;
        }
    }
}

/// How many bytes arrive at a time.
fn piece(how: u8) -> usize {
    match how % 16 {
        0 => usize::MAX,
        other => usize::from(other),
    }
}

/// The same bytes from a replication client: all of them pass, but a header that is not whole and what follows a goodbye.
fn relayed(data: &[u8], piece: usize) {
    let mut exchange = Exchange::new();
    let mut held = Vec::new();
    for part in data.chunks(piece) {
        held.extend_from_slice(part);
        let mut orders = Orders::default();
        relay::on_client_bytes(&mut exchange, &held, &mut orders);
        for order in orders.take().0 {
            match order {
                Order::Forward(len) => drop(held.drain(..len)),
                Order::Need(need) => assert!(need > held.len() && need <= HEADER_BYTES),
                Order::Close(_) => return,
                other => panic!("a relay has no use for {other:?}"),
            }
        }
        assert!(held.len() < HEADER_BYTES);
    }
}

fn client_machine(client_auth: ClientAuth) -> ClientLogin {
    let credential = Credential {
        username: "u".to_owned(),
        password: "secret".into(),
        client_auth,
        previous: None,
    };
    let mut facts = making::client_facts(1);
    facts.proxy = Arc::new(making::proxy(vec![Arc::new(credential)]));
    ClientLogin::new(facts)
}

/// Shows bytes to a login and obeys it.
struct Feed {
    cache: LoginCache,
    held: Vec<u8>,
    need: usize,
    ended: bool,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            cache: LoginCache::new([5; 32]),
            held: Vec::new(),
            need: 0,
            ended: false,
        }
    }
}

impl Feed {
    fn all(&mut self, data: &[u8], show: impl FnMut(&mut LoginCache, &[u8], &mut Orders<Work>)) {
        self.all_in_pieces(data, usize::MAX, show, |_, _, _| {});
    }

    fn all_in_pieces(
        &mut self,
        data: &[u8],
        piece: usize,
        mut show: impl FnMut(&mut LoginCache, &[u8], &mut Orders<Work>),
        mut done: impl FnMut(&mut LoginCache, Done, &mut Orders<Work>),
    ) {
        for part in data.chunks(piece) {
            self.held.extend_from_slice(part);
            let mut moved = true;
            while moved && !self.ended && !self.held.is_empty() && self.held.len() >= self.need {
                self.need = 0;
                let mut orders = Orders::default();
                let input = std::mem::take(&mut self.held);
                show(&mut self.cache, &input, &mut orders);
                let (consumed, works) = self.obey(orders, input.len());
                self.held = input[consumed..].to_vec();
                moved = consumed > 0 || !works.is_empty();
                assert!(self.need == 0 || self.need > self.held.len());
                for work in works {
                    let mut orders = Orders::default();
                    done(&mut self.cache, login_cache::work(work), &mut orders);
                    let (consumed, works) = self.obey(orders, 0);
                    assert!(consumed == 0 && works.is_empty());
                }
            }
        }
    }

    /// Returns how much was consumed and what is to be worked on.
    fn obey(&mut self, mut orders: Orders<Work>, len: usize) -> (usize, Vec<Work>) {
        let (list, made) = orders.take();
        assert!(made.len() <= LOGIN_BYTES_MAX, "{} bytes made", made.len());
        let (mut consumed, mut works) = (0, Vec::new());
        for order in list {
            assert!(!self.ended, "{order:?} after the end");
            match order {
                Order::Swallow(more) => consumed += more,
                Order::Need(need) => self.need = need,
                Order::Work(work) => works.push(work),
                Order::ToClient(_) | Order::ToBackend(_) | Order::Pause | Order::Resume => {}
                // From here on the bytes belong to somebody else.
                Order::StartTls
                | Order::Admit(_)
                | Order::Cancel(_)
                | Order::BackendReady { .. }
                | Order::BackendFailed(_)
                | Order::Refuse(_)
                | Order::Close(_) => self.ended = true,
                Order::Bug(what) => panic!("a bug: {what}"),
                other => panic!("a login has no use for {other:?}"),
            }
        }
        assert!(consumed <= len, "consumes what is not there");
        (consumed, works)
    }
}

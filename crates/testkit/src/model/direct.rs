//! Scripted clients against the model server with nothing in between: the two must never disagree.
//!
//! Each was written apart from the other, so a violation here is an error in one of them (or in what they were
//! written from). Bytes are cut at random, clients interleave at random, sleeps end and cancels arrive at random.

use super::client::{ClearText, ClientConfig, Order, Program, Style, default_settings, program};
use super::{ConnectionId, Next, ScriptedClient, Server, ServerConfig, SplitMix64, User};

#[test]
fn clients_and_server_agree_over_thousands_of_seeds() {
    for seed in 0..seeds(1000) {
        World::new(seed, 1, &Style::default()).run();
    }
}

#[test]
fn clients_that_share_a_server_do_not_disturb_each_other() {
    for seed in 0..seeds(150) {
        World::new(1_000_000 + seed, 4, &Style::default()).run();
    }
}

#[test]
fn faults_never_confuse_a_clients_account() {
    for seed in 0..seeds(300) {
        World::build(2_000_000 + seed, 3, &Style::default(), true).run();
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let run = |seed| World::new(seed, 3, &Style::default()).run();
    assert_eq!(run(77), run(77));
    assert_ne!(run(77), run(78));
}

#[test]
fn a_server_that_swaps_one_row_is_found_out() {
    let found = (0..50).filter(|seed| {
        let mut world = World::new(*seed, 1, &Style::default());
        world.liar = true;
        world.try_run().is_err()
    });
    assert!(found.count() > 25, "most programs ask for their tag");
}

/// Seeds per test; `FOREBAY_SIM_SEEDS` multiplies by so much.
fn seeds(usual: u64) -> u64 {
    let factor = std::env::var("FOREBAY_SIM_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    usual * factor.unwrap_or(1)
}

const ROLES: [&str; 2] = ["reader", "writer"];

fn server(seed: u64) -> Server {
    let user = |name: &str, password: Option<&str>| User {
        name: name.into(),
        password: password.map(str::to_owned),
        superuser: false,
        member_of: ROLES.map(str::to_owned).to_vec(),
    };
    let mut users = vec![user("app", Some("secret")), user("free", None)];
    users.extend(ROLES.map(|role| user(role, None)));
    Server::new(ServerConfig {
        users,
        seed,
        ..ServerConfig::default()
    })
}

fn client(id: u32, program: Program, faults: bool) -> ScriptedClient {
    let config = ClientConfig {
        id,
        user: if id.is_multiple_of(2) { "app" } else { "free" }.into(),
        database: "db".into(),
        authenticator: Box::new(ClearText::new("secret")),
        tolerated: if faults {
            vec!["57P01".into(), "XX001".into(), "57P03".into()]
        } else {
            Vec::new()
        },
        tolerates_close: faults,
        defaults: default_settings(),
    };
    ScriptedClient::new(config, program)
}

/// A connection: what is on its way in each direction.
#[derive(Default)]
struct Line {
    id: Option<ConnectionId>,
    up: Vec<u8>,
    down: Vec<u8>,
    /// The server has closed; the client hears of it after `down`.
    closed: bool,
    thinking: bool,
}

struct World {
    seed: u64,
    rng: SplitMix64,
    server: Server,
    clients: Vec<ScriptedClient>,
    lines: Vec<Line>,
    /// Lines whose client has gone, with bytes still on their way.
    orphans: Vec<Line>,
    liar: bool,
    faults: bool,
}

impl World {
    fn new(seed: u64, clients: u32, style: &Style) -> Self {
        Self::build(seed, clients, style, false)
    }

    fn build(seed: u64, clients: u32, style: &Style, faults: bool) -> Self {
        let style = Style {
            roles: ROLES.map(str::to_owned).to_vec(),
            ..style.clone()
        };
        let mut rng = SplitMix64::new(seed);
        let clients: Vec<ScriptedClient> = (1..=clients)
            .map(|id| client(id, program(rng.next_u64(), id, &style), faults))
            .collect();
        let lines = clients.iter().map(|_| Line::default()).collect();
        Self {
            seed,
            server: server(seed),
            rng,
            clients,
            lines,
            orphans: Vec::new(),
            liar: false,
            faults,
        }
    }

    /// Runs to the end; gives the replies seen.
    fn run(&mut self) -> u64 {
        match self.try_run() {
            Ok(replies) => replies,
            Err(problem) => panic!("seed {}: {problem}", self.seed),
        }
    }

    fn try_run(&mut self) -> Result<u64, String> {
        let mut idle = 0;
        while self.clients.iter().any(|client| !client.is_done()) {
            let at = self.rng.below(self.clients.len() as u64) as usize;
            idle = if self.turn(at)? { 0 } else { idle + 1 };
            if idle > 500 {
                return Err(format!("nothing moves any more: {:?}", self.clients));
            }
        }
        for at in 0..self.clients.len() {
            while self.obey(at) {}
        }
        while self.orphan_turn() {}
        self.check()
    }

    fn check(&self) -> Result<u64, String> {
        if !self.server.mixed().is_empty() {
            return Err(format!("mixed: {:?}", self.server.mixed()));
        }
        if self.server.connections() != 0 {
            return Err("a slot was not given back".into());
        }
        for client in &self.clients {
            client.ledger().check(self.server.committed(client.tag()))?;
        }
        Ok(self.clients.iter().map(ScriptedClient::replies).sum())
    }

    /// Lets something happen around one client; false when nothing could.
    fn turn(&mut self, at: usize) -> Result<bool, String> {
        if self.faults && self.rng.chance(1) {
            self.fault(at);
        }
        let mut moved = self.obey(at);
        moved |= self.end_waits();
        moved |= self.upwards(at);
        moved |= self.orphan_turn();
        let thinking = &mut self.lines[at].thinking;
        if *thinking && self.rng.chance(20) {
            *thinking = false;
            self.clients[at].on_thought().map_err(|v| v.to_string())?;
            moved = true;
        }
        Ok(moved | self.downwards(at)? | self.lines[at].thinking)
    }

    /// The connection is terminated, or breaks with bytes still on their way, or its next statement fails.
    fn fault(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let Some(id) = line.id.filter(|_| !line.closed) else {
            return;
        };
        match self.rng.below(3) {
            0 => {
                self.server.terminate(id, &mut line.down);
                line.closed = true;
            }
            1 => {
                self.server.on_disconnect(id);
                let kept = self.rng.below(line.down.len() as u64 + 1) as usize;
                line.down.truncate(kept);
                line.closed = true;
            }
            _ => self
                .server
                .inject_error(id, "XX001", "the disk has a bad day"),
        }
    }

    fn obey(&mut self, at: usize) -> bool {
        let Some(order) = self.clients[at].next_order() else {
            return false;
        };
        match order {
            Order::Connect => {
                self.lines[at].id = Some(self.server.accept());
                self.clients[at].on_connected();
            }
            Order::Send(bytes) => self.lines[at].up.extend(bytes),
            Order::Cancel(bytes) => {
                let id = self.server.accept();
                let next = self.server.on_bytes(id, &bytes, &mut Vec::new());
                assert_eq!(next, Next::Close, "a CancelRequest is never answered");
            }
            Order::Think(_) => self.lines[at].thinking = true,
            Order::Close => {
                let line = std::mem::take(&mut self.lines[at]);
                if line.id.is_some() && !line.closed {
                    self.orphans.push(line);
                }
            }
        }
        true
    }

    fn orphan_turn(&mut self) -> bool {
        if self.orphans.is_empty() {
            return false;
        }
        let at = self.rng.below(self.orphans.len() as u64) as usize;
        let mut line = self.orphans.swap_remove(at);
        deliver(&mut self.server, &mut self.rng, &mut line);
        let stuck = line.id.is_some_and(|id| !self.server.is_reading(id));
        if let Some(id) = line.id
            && !line.closed
            && (line.up.is_empty() || stuck)
        {
            self.server.on_disconnect(id);
        } else if !line.closed {
            self.orphans.push(line);
        }
        true
    }

    fn upwards(&mut self, at: usize) -> bool {
        let moved = deliver(&mut self.server, &mut self.rng, &mut self.lines[at]);
        if self.liar {
            let down = &mut self.lines[at].down;
            if let Some(tag) = down.windows(3).position(|bytes| bytes == b"c1.") {
                down[tag + 1] = b'2';
            }
        }
        moved
    }

    fn downwards(&mut self, at: usize) -> Result<bool, String> {
        let line = &mut self.lines[at];
        if line.down.is_empty() {
            if !line.closed {
                return Ok(false);
            }
            self.lines[at] = Line::default();
            self.clients[at].on_closed().map_err(|v| v.to_string())?;
            return Ok(true);
        }
        let cut = self.rng.between(1, line.down.len() as u64) as usize;
        let bytes: Vec<u8> = line.down.drain(..cut).collect();
        self.clients[at]
            .on_bytes(&bytes)
            .map_err(|v| v.to_string())?;
        Ok(true)
    }

    fn end_waits(&mut self) -> bool {
        let cancels = self.server.pending_cancels();
        for id in &cancels {
            let mut out = Vec::new();
            let next = self.server.deliver_cancel(*id, &mut out);
            self.give(*id, out, next);
        }
        let mut moved = !cancels.is_empty();
        for (id, wait) in self.server.waits() {
            if self.rng.chance(10) && self.server.may_finish(wait) {
                let mut out = Vec::new();
                let next = self.server.finish(id, &mut out);
                self.give(id, out, next);
            }
            moved = true;
        }
        moved
    }

    fn give(&mut self, id: ConnectionId, out: Vec<u8>, next: Next) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.id == Some(id)) {
            line.down.extend(out);
            line.closed |= next == Next::Close;
        }
    }
}

/// Brings a part of the bytes to the server.
fn deliver(server: &mut Server, rng: &mut SplitMix64, line: &mut Line) -> bool {
    let Some(id) = line.id.filter(|id| !line.closed && server.is_reading(*id)) else {
        return false;
    };
    if line.up.is_empty() {
        return false;
    }
    let cut = rng.between(1, line.up.len() as u64) as usize;
    let bytes: Vec<u8> = line.up.drain(..cut).collect();
    line.closed = server.on_bytes(id, &bytes, &mut line.down) == Next::Close;
    true
}

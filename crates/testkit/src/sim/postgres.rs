//! PostgreSQL in the simulation.

use super::family::{Canceller, Client, Database, Family, PASSWORD, Who};
use super::known;
use super::scenario::{Faults, Scenario};
use crate::model::client::{
    Authenticator, ClientConfig, Order, Program, Violation, default_settings, program,
};
use crate::model::{
    Availability, ConnectionId, Ledger, Next, ScriptedClient, Server, ServerConfig, User, Wait,
};
use forebay_core::snapshot::{ClientAuth, EngineFamily};
use forebay_postgres::md5_password::Md5Hash;

/// The family.
pub(super) struct Postgres;

impl Family for Postgres {
    type Engine = forebay_postgres::Postgres;
    type Database = Server;
    type Client = ScriptedClient;
    type Program = Program;

    const FAMILY: EngineFamily = EngineFamily::Postgres;
    const LISTENS: bool = true;

    fn program(seed: u64, client: u32, scenario: &Scenario) -> Program {
        let mut program = program(seed, client, &scenario.style);
        known::avoid(&mut program);
        program
    }

    fn client_auth(_: &Scenario) -> ClientAuth {
        ClientAuth::Md5
    }

    fn database(scenario: &Scenario, users: Vec<String>) -> Server {
        let user = |name: String| User {
            name,
            password: None,
            superuser: false,
            member_of: scenario.style.roles.clone(),
        };
        let names = users.into_iter().chain(scenario.style.roles.clone());
        Server::new(ServerConfig {
            users: names.map(user).collect(),
            max_connections: scenario.max_connections,
            protocol: scenario.protocol,
            seed: scenario.seed,
            ..ServerConfig::default()
        })
    }

    fn client(scenario: &Scenario, who: Who, program: Program) -> ScriptedClient {
        let authenticator = Md5 {
            user: who.user.clone(),
        };
        let config = ClientConfig {
            id: who.id,
            user: who.user,
            database: who.database,
            authenticator: Box::new(authenticator),
            tolerated: scenario.tolerated::<Self>(),
            tolerates_close: scenario.tolerates_close(),
            defaults: default_settings(),
        };
        ScriptedClient::new(config, program)
    }

    fn tolerated(faults: &Faults) -> Vec<&'static str> {
        let Faults {
            kills,
            resets: _,
            outages,
            crowding,
            reloads,
            replaces,
            drain,
            notices: _,
        } = *faults;
        let table: [(bool, &[&str]); 6] = [
            (kills, &["57P01", "08006", "08001"]),
            (outages, &["08001", "08000", "57P03", "08006"]),
            (crowding, &["08000", "53300"]),
            (reloads, &["08000"]),
            // Who listens is told when the connection ends that listens for all.
            (replaces, &["08001", "08006"]),
            (drain, &["57P01"]),
        ];
        let found = table.iter().filter(|(on, _)| *on);
        found.flat_map(|(_, codes)| codes.iter().copied()).collect()
    }

    fn canceller(_: &Who, asked: &[u8], out: &mut Vec<u8>) -> Box<dyn Canceller> {
        out.extend_from_slice(asked);
        Box::new(Request)
    }
}

/// A CancelRequest: it is never answered.
struct Request;

impl Canceller for Request {
    fn on_bytes(&mut self, _: &[u8], _: &mut Vec<u8>) -> bool {
        true
    }
}

/// Answers the MD5 challenge.
struct Md5 {
    user: String,
}

impl Authenticator for Md5 {
    fn answer(&mut self, code: u32, data: &[u8]) -> Option<Vec<u8>> {
        if code != 5 {
            return None;
        }
        let salt = data.try_into().ok()?;
        let mut answer = Md5Hash::of(&self.user, PASSWORD).response(salt).to_vec();
        answer.push(0);
        Some(answer)
    }
}

impl Database for Server {
    fn accept(&mut self, _: &mut Vec<u8>) -> (ConnectionId, Next) {
        (Server::accept(self), Next::Open)
    }

    fn on_bytes(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Vec<u8>) -> Next {
        Server::on_bytes(self, id, bytes, out)
    }

    fn on_disconnect(&mut self, id: ConnectionId) {
        Server::on_disconnect(self, id);
    }

    fn terminate(&mut self, id: ConnectionId, out: &mut Vec<u8>) {
        Server::terminate(self, id, out);
    }

    fn send_notice(&mut self, id: ConnectionId, out: &mut Vec<u8>) {
        Server::send_notice(self, id, "by the way", out);
    }

    fn waits(&self) -> Vec<(ConnectionId, Wait)> {
        Server::waits(self)
    }

    fn may_finish(&self, wait: Wait) -> bool {
        Server::may_finish(self, wait)
    }

    fn finish(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next {
        Server::finish(self, id, out)
    }

    fn pending_cancels(&self) -> Vec<ConnectionId> {
        Server::pending_cancels(self)
    }

    fn deliver_cancel(&mut self, id: ConnectionId, out: &mut Vec<u8>) -> Next {
        Server::deliver_cancel(self, id, out)
    }

    fn is_reading(&self, id: ConnectionId) -> bool {
        Server::is_reading(self, id)
    }

    fn connections(&self) -> usize {
        Server::connections(self)
    }

    fn is_pooled(&self, id: ConnectionId) -> bool {
        self.status(id).is_some()
    }

    fn is_idle(&self, id: ConnectionId) -> bool {
        self.status(id) == Some(b'I')
    }

    fn set_availability(&mut self, availability: Availability) {
        Server::set_availability(self, availability);
    }

    fn set_max_connections(&mut self, max: u32) {
        Server::set_max_connections(self, max);
    }

    fn commits(&self) -> usize {
        Server::commits(self).len()
    }

    fn committed(&self, client: &str) -> &[i64] {
        Server::committed(self, client)
    }

    fn broken(&self) -> Option<String> {
        let mixed = self.mixed().first()?;
        Some(format!("a transaction of several clients: {mixed:?}"))
    }
}

impl Client for ScriptedClient {
    fn tag(&self) -> &str {
        ScriptedClient::tag(self)
    }

    fn is_done(&self) -> bool {
        ScriptedClient::is_done(self)
    }

    fn next_order(&mut self) -> Option<Order> {
        ScriptedClient::next_order(self)
    }

    fn on_connected(&mut self) {
        ScriptedClient::on_connected(self);
    }

    fn on_thought(&mut self) -> Result<(), Violation> {
        ScriptedClient::on_thought(self)
    }

    fn on_bytes(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        ScriptedClient::on_bytes(self, bytes)
    }

    fn on_closed(&mut self) -> Result<(), Violation> {
        ScriptedClient::on_closed(self)
    }

    fn ledger(&self) -> &Ledger {
        ScriptedClient::ledger(self)
    }

    fn replies(&self) -> u64 {
        ScriptedClient::replies(self)
    }

    fn mishaps(&self) -> (u64, u64) {
        ScriptedClient::mishaps(self)
    }
}

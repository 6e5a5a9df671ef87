//! MySQL and MariaDB in the simulation.

use super::family::{Canceller, Client, Database, Family, PASSWORD, Who, drawn};
use super::scenario::{Faults, Scenario};
use crate::model::client::{Order, Violation};
use crate::model::mysql::client::{
    ClientConfig, Credentials, Login, LoginStep, Program, ScriptedClient, program,
};
use crate::model::mysql::{Flavor, Server, ServerConfig};
use crate::model::{Availability, ConnectionId, Ledger, Next, Wait};
use forebay_core::snapshot::{ClientAuth, EngineFamily};
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::{self, HEADER_BYTES, command, write};

/// The family.
pub(super) struct Mysql;

/// Which family of servers a seed stands for.
fn flavor(scenario: &Scenario) -> Flavor {
    match drawn(scenario.seed, 1, 2) {
        0 => Flavor::MySql,
        _ => Flavor::MariaDb,
    }
}

/// Places of the server beyond the pools': scouts, connections that carry a KILL, and some that are about to end.
const PLACES_BESIDES: u32 = 40;

impl Family for Mysql {
    type Engine = forebay_mysql::Mysql;
    type Database = Server;
    type Client = ScriptedClient;
    type Program = Program;

    const FAMILY: EngineFamily = EngineFamily::Mysql;
    const LISTENS: bool = false;

    fn program(seed: u64, client: u32, scenario: &Scenario) -> Program {
        program(seed, client, &scenario.style, flavor(scenario))
    }

    fn client_auth(scenario: &Scenario) -> ClientAuth {
        match drawn(scenario.seed, 2, 2) {
            0 => ClientAuth::NativePassword,
            _ => ClientAuth::CachingSha2,
        }
    }

    fn database(scenario: &Scenario, users: Vec<String>) -> Server {
        let besides = match scenario.faults.crowding {
            true => 0,
            false => PLACES_BESIDES,
        };
        Server::new(ServerConfig {
            flavor: flavor(scenario),
            users,
            password: PASSWORD.into(),
            caching_sha2: drawn(scenario.seed, 3, 2) == 0,
            max_connections: scenario.max_connections + besides,
            seed: scenario.seed,
        })
    }

    fn client(scenario: &Scenario, who: Who, program: Program) -> ScriptedClient {
        let config = ClientConfig {
            id: who.id,
            credentials: Credentials {
                user: who.user,
                password: PASSWORD.into(),
                caching_sha2: Self::client_auth(scenario) == ClientAuth::CachingSha2,
            },
            flavor: flavor(scenario),
            tolerated: scenario.tolerated::<Self>(),
            tolerates_close: scenario.tolerates_close(),
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
            (kills, &["9503", "9502", "1053", "4031"]),
            (outages, &["9502", "9501", "9503", "1053"]),
            (crowding, &["9501", "1040"]),
            (reloads, &["9501"]),
            (replaces, &["9502", "9503"]),
            (drain, &["1053"]),
        ];
        let found = table.iter().filter(|(on, _)| *on);
        found.flat_map(|(_, codes)| codes.iter().copied()).collect()
    }

    fn canceller(who: &Who, asked: &[u8], _: &mut Vec<u8>) -> Box<dyn Canceller> {
        let process = asked.first_chunk().copied().unwrap_or_default();
        let credentials = Credentials {
            user: who.user.clone(),
            password: PASSWORD.into(),
            // Whichever it is asked for: the first proof may be by the other.
            caching_sha2: false,
        };
        Box::new(Killer {
            login: Login::new(credentials, Capabilities::DEPRECATE_EOF, 45),
            process: u32::from_le_bytes(process),
            inbox: Vec::new(),
            has_asked: false,
        })
    }
}

/// A connection that logs in and says `KILL QUERY`.
struct Killer {
    login: Login,
    process: u32,
    inbox: Vec<u8>,
    has_asked: bool,
}

impl Canceller for Killer {
    fn on_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        self.inbox.extend_from_slice(bytes);
        while let Some(header) = wire::header(&self.inbox)
            && self.inbox.len() >= header.len
        {
            let packet: Vec<u8> = self.inbox.drain(..header.len).collect();
            if self.has_asked {
                write::command(out, command::QUIT, b"");
                return false;
            }
            let step = self
                .login
                .on_packet(&packet[HEADER_BYTES..], header.sequence, out);
            match step {
                Ok(LoginStep::More) => {}
                Ok(LoginStep::In) => {
                    self.has_asked = true;
                    write::query(out, format!("KILL QUERY {}", self.process).as_bytes());
                }
                Ok(LoginStep::Refused) | Err(_) => return false,
            }
        }
        true
    }
}

impl Database for Server {
    fn accept(&mut self, out: &mut Vec<u8>) -> (ConnectionId, Next) {
        Server::accept(self, out)
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

    /// Nothing: servers of this family say nothing that nobody asked for, but farewell.
    fn send_notice(&mut self, _: ConnectionId, _: &mut Vec<u8>) {}

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
        Server::is_pooled(self, id)
    }

    fn is_idle(&self, id: ConnectionId) -> bool {
        Server::is_idle(self, id)
    }

    fn set_availability(&mut self, availability: Availability) {
        Server::set_availability(self, availability);
    }

    fn set_max_connections(&mut self, max: u32) {
        Server::set_max_connections(self, max);
    }

    fn commits(&self) -> usize {
        Server::commits(self)
    }

    fn committed(&self, client: &str) -> &[i64] {
        Server::committed(self, client)
    }

    fn broken(&self) -> Option<String> {
        Server::broken(self).map(str::to_owned)
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

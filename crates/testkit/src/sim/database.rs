//! The model server on the network: what it reads, writes and lets run, and how it dies.
//!
//! Like PostgreSQL it reads nothing of a connection while that one's statement runs or while what it has to say there is not
//! taken, and a CancelRequest's signal arrives before the connection that carried it is closed.

use super::family::{Database as _, Family};
use super::network::{LinkId, Near, Task, Way};
use super::world::{Far, World};
use crate::model::{Availability, ConnectionId, Next, Wait};
use std::io;
use std::time::Duration;

/// Longest a statement sleeps.
const SLEEP_MAX: Duration = Duration::from_millis(300);
/// Largest piece the server reads at once.
const READ_MAX: u64 = 8 * 1024;

impl<F: Family> World<F> {
    /// A dial of the proxy arrives.
    pub(super) fn on_dialed(&mut self, link: LinkId) {
        if self.outage.is_silent {
            // Looked at again when it is over; the proxy's patience may end before.
            let mut network = self.network.borrow_mut();
            return network.schedule(Duration::from_millis(500), Task::Dialed(link));
        }
        let near = self.network.borrow_mut().link(link).near;
        let Near::Held(worker) = near else { return };
        let mut first = None;
        let result = if self.outage.refuses {
            Err(io::ErrorKind::ConnectionRefused)
        } else {
            let mut out = Vec::new();
            let (id, next) = self.server.accept(&mut out);
            self.far(link).peer = Far::Database(id);
            self.database_links.insert(id, link);
            first = (!out.is_empty()).then_some((id, out, next));
            Ok(())
        };
        let mut network = self.network.borrow_mut();
        network.link(link).dialed = Some(result);
        network.poke(worker);
        drop(network);
        if let Some((id, out, next)) = first {
            self.database_says(id, &out, next);
        }
    }

    /// A connection of the server reads.
    pub(super) fn database_reads(&mut self, link: LinkId, id: ConnectionId) {
        if !self.far(link).outbox.is_empty() || !self.server.is_reading(id) {
            return;
        }
        let max = self.rng.between(1, READ_MAX) as usize;
        let (bytes, ended) = {
            let mut network = self.network.borrow_mut();
            let bytes = network.read(link, Way::Out, max);
            (bytes, network.has_ended(link, Way::Out))
        };
        let mut out = Vec::new();
        let mut next = Next::Open;
        if !bytes.is_empty() {
            self.note(|| format!("database {id:?} reads {}", super::world::shown(&bytes)));
            next = self.server.on_bytes(id, &bytes, &mut out);
        }
        if next == Next::Open && ended && self.server.is_reading(id) {
            self.server.on_disconnect(id);
            next = Next::Close;
        }
        self.database_says(id, &out, next);
        self.deliver_cancels();
        self.watch_statements();
        if next == Next::Open && self.network.borrow().readable(link, Way::Out) > 0 {
            self.network
                .borrow_mut()
                .schedule(Duration::ZERO, Task::Read(link));
        }
    }

    /// What a call of the server left to say.
    fn database_says(&mut self, id: ConnectionId, out: &[u8], next: Next) {
        let Some(&link) = self.database_links.get(&id) else {
            return;
        };
        if !out.is_empty() {
            self.note(|| format!("database {id:?} says {}", super::world::shown(out)));
        }
        self.far(link).outbox.extend_from_slice(out);
        if next == Next::Close {
            self.note(|| format!("database {id:?} closes"));
            self.database_links.remove(&id);
            self.far(link).peer = Far::Gone;
            self.far(link).closing = true;
        }
        self.write_far(link);
    }

    /// What was taken gives room to read on.
    pub(super) fn database_wrote(&mut self, link: LinkId) {
        self.network
            .borrow_mut()
            .schedule(Duration::ZERO, Task::Read(link));
    }

    fn deliver_cancels(&mut self) {
        for id in self.server.pending_cancels() {
            let mut out = Vec::new();
            self.note(|| format!("database {id:?} is cancelled"));
            let next = self.server.deliver_cancel(id, &mut out);
            self.database_says(id, &out, next);
            self.database_goes_on(id);
        }
    }

    fn database_goes_on(&mut self, id: ConnectionId) {
        if let Some(&link) = self.database_links.get(&id) {
            self.network
                .borrow_mut()
                .schedule(Duration::ZERO, Task::Read(link));
        }
    }

    /// Sees to it that every running statement ends.
    fn watch_statements(&mut self) {
        for (id, _) in self.server.waits() {
            if self.running.insert(id) {
                let mut network = self.network.borrow_mut();
                let after = network.random_time(SLEEP_MAX);
                network.schedule(after, Task::WaitOver(id));
            }
        }
    }

    /// A statement has run long enough.
    pub(super) fn on_wait_over(&mut self, id: ConnectionId) {
        self.running.remove(&id);
        let waits = self.server.waits();
        let wait: Option<Wait> = waits
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, w)| *w);
        if wait.is_some_and(|wait| self.server.may_finish(wait)) {
            let mut out = Vec::new();
            let next = self.server.finish(id, &mut out);
            self.database_says(id, &out, next);
            self.database_goes_on(id);
        }
        self.watch_statements();
    }

    // --- Faults ---

    /// A session of the server, at random.
    fn any_session(&mut self) -> Option<(ConnectionId, LinkId)> {
        let count = self.database_links.len();
        let at = self.rng.below(count as u64) as usize;
        self.database_links
            .iter()
            .nth(at)
            .map(|(id, link)| (*id, *link))
    }

    /// A backend dies.
    pub(super) fn kill_backend(&mut self) {
        let Some((id, link)) = self.any_session() else {
            return;
        };
        if self.rng.chance(50) {
            self.note(|| format!("fault: {id:?} is terminated"));
            let mut out = Vec::new();
            self.server.terminate(id, &mut out);
            self.database_says(id, &out, Next::Close);
        } else {
            self.note(|| format!("fault: {id:?} is cut"));
            self.server.on_disconnect(id);
            self.database_links.remove(&id);
            self.far(link).peer = Far::Gone;
            self.network.borrow_mut().reset(link);
        }
    }

    /// The database is shut down and started again with another limit: every session is terminated.
    pub(super) fn restart_database(&mut self, max_connections: u32) {
        self.note(|| format!("the database is started again with {max_connections} places"));
        let sessions: Vec<ConnectionId> = self.database_links.keys().copied().collect();
        for id in sessions {
            let mut out = Vec::new();
            self.server.terminate(id, &mut out);
            self.database_says(id, &out, Next::Close);
        }
        self.server.set_max_connections(max_connections);
    }

    /// Says something that nobody asked for.
    pub(super) fn send_notice(&mut self) {
        if let Some((id, _)) = self.any_session() {
            self.note(|| format!("fault: notice on {id:?}"));
            let mut out = Vec::new();
            self.server.send_notice(id, &mut out);
            self.database_says(id, &out, Next::Open);
        }
    }

    /// The database stops to take connections, or takes them again.
    pub(super) fn toggle_outage(&mut self) {
        let over = self.outage.refuses || self.outage.is_silent || self.outage.starts_up;
        self.outage = Default::default();
        if !over && !self.is_ending {
            match self.rng.below(3) {
                0 => self.outage.refuses = true,
                1 => self.outage.is_silent = true,
                _ => self.outage.starts_up = true,
            }
        }
        let outage = self.outage;
        self.note(|| format!("fault: {outage:?}"));
        self.server.set_availability(if outage.starts_up {
            Availability::StartingUp
        } else {
            Availability::Up
        });
    }
}

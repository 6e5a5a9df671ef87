//! What must be true after each step, now and then, and at the end.

use super::family::{Client as _, Database as _, Family};
use super::network::{LinkId, Near, Way};
use super::world::World;
use crate::model::ConnectionId;
use forebay_core::event::{Event, EventKind};
use forebay_pool::PoolStats;
use std::time::Duration;

/// Beyond the borrow timeout: dials, sleeps, slow readers.
const SLACK: Duration = Duration::from_secs(30);

impl<F: Family> World<F> {
    /// What a worker told must not be an incident.
    pub(super) fn check_told(&self, told: &Event) -> Result<(), String> {
        match &told.kind {
            EventKind::Bug { what, .. } => {
                Err(format!("incident on worker {}: {what}", told.worker))
            }
            _ => Ok(()),
        }
    }

    /// After a worker's turn.
    pub(super) fn check_turn(&self, number: usize) -> Result<(), String> {
        #[cfg(debug_assertions)]
        self.workers[number].pools().check();
        let _ = number;
        Ok(())
    }

    /// After each step.
    pub(super) fn check_step(&self) -> Result<(), String> {
        if let Some(broken) = self.server.broken() {
            return Err(broken);
        }
        // Sessions whose farewell is still under way have given up their place already.
        let sessions = self.server.connections();
        // What a target that was replaced has lent comes back in its own time.
        let targets = 1 + u32::from(self.scenario.faults.replaces);
        // One more of each database listens for all clients.
        let listeners = match F::LISTENS {
            true => targets * self.scenario.databases as u32,
            false => 0,
        };
        let pooled = self.limit_max << u32::from(self.scenario.faults.replaces);
        let allowed = pooled.saturating_add(listeners);
        if sessions > allowed as usize {
            let kept = self.kept_sessions();
            if kept > allowed as usize {
                return Err(format!("{kept} sessions, allowed are {allowed}"));
            }
        }
        Ok(())
    }

    /// Sessions of the database that the proxy has not closed.
    fn kept_sessions(&self) -> usize {
        let network = self.network.borrow();
        let kept = |link: &LinkId| {
            let link = &network.links[*link as usize];
            link.near != Near::Closed && !link.leaving
        };
        let logged_in = |id: &ConnectionId| self.server.is_pooled(*id);
        let links = self.database_links.iter();
        links
            .filter(|(id, link)| logged_in(id) && kept(link) && !network.is_ended(**link, Way::Out))
            .count()
    }

    /// Once a second.
    pub(super) fn check_watch(&self) -> Result<(), String> {
        let now = self.network.borrow().now;
        let patience = self.scenario.limits.borrow_timeout + SLACK;
        self.check_waits(now, patience)
    }

    /// When everybody is gone.
    pub(super) fn check_end(&mut self) -> Result<(), String> {
        for peer in &self.peers {
            let committed = self.server.committed(peer.client.tag());
            peer.client
                .ledger()
                .check(committed)
                .map_err(|problem| format!("{}: {problem}", peer.client.tag()))?;
            self.report.clients += 1;
            self.report.replies += peer.client.replies();
            let (refused, lost) = peer.client.mishaps();
            self.report.mishaps.0 += refused;
            self.report.mishaps.1 += lost;
        }
        self.report.commits = self.server.commits() as u64;
        self.check_gauges()?;
        self.check_pools()
    }

    fn check_gauges(&mut self) -> Result<(), String> {
        let mut sums: Vec<(&str, u64)> = Vec::new();
        let mut add = |name, value: u64| match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.wrapping_add(value),
            None => sums.push((name, value)),
        };
        for (_, block) in self.registry.endpoints() {
            add("client_connections", block.client_connections.get());
            add("in_setup", block.client_connections_in_setup.get());
            add("waiting", block.clients_waiting.get());
        }
        for (_, block) in self.registry.targets() {
            add(
                "borrowed",
                block.database_connections_currently_borrowed.get(),
            );
            add(
                "in_transaction",
                block.database_connections_currently_in_transaction.get(),
            );
            add(
                "pinned",
                block.database_connections_currently_session_pinned.get(),
            );
            self.report.moves += block.backends_moved.get();
        }
        for (name, sum) in sums {
            if sum != 0 {
                return Err(format!("at the end the gauge {name} is {}", sum as i64));
            }
        }
        for (_, block) in self.registry.targets() {
            let asked = block.database_connection_requests.get();
            let ended = block.database_connections_setup_succeeded.get()
                + block.database_connections_setup_failed.get();
            if asked != ended {
                return Err(format!(
                    "{asked} connections were asked for, {ended} came to an end"
                ));
            }
        }
        let database = self
            .registry
            .targets()
            .iter()
            .fold(0u64, |sum, (_, block)| {
                sum.wrapping_add(block.database_connections.get())
            });
        let sessions = self.server.connections() as u64;
        if database != sessions {
            return Err(format!(
                "the gauge says {database} backends, the database {sessions}"
            ));
        }
        Ok(())
    }

    fn check_pools(&mut self) -> Result<(), String> {
        let sessions = self.server.connections() as u32;
        let mut idle = 0;
        for worker in &self.workers {
            if worker.client_count() != 0 {
                return Err("a client is left".into());
            }
            for (_, key, stats) in worker.pools().pools() {
                let quiet = PoolStats {
                    idle: stats.idle,
                    ..PoolStats::default()
                };
                if stats != quiet {
                    return Err(format!("a pool is not quiet at the end: {key:?} {stats:?}"));
                }
                idle += stats.idle;
            }
        }
        if idle != sessions {
            return Err(format!("{idle} idle backends, {sessions} in the database"));
        }
        let used = self.plan.proxies[0].target.budget.used();
        if used != sessions {
            return Err(format!(
                "{used} places of the budget used by {sessions} backends"
            ));
        }
        for id in self.database_links.keys() {
            if !self.server.is_idle(*id) {
                return Err(format!("{id:?} is not idle at the end"));
            }
        }
        for worker in &mut self.workers {
            let driver = worker.driver_mut();
            if !driver.has_all_buffers() {
                return Err("a receive buffer is lost".into());
            }
        }
        let open: usize = self
            .workers
            .iter_mut()
            .map(|w| w.driver_mut().open_connections())
            .sum();
        if open as u32 != sessions {
            return Err(format!("{open} open connections, {sessions} sessions"));
        }
        Ok(())
    }
}

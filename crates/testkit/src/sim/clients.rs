//! The scripted clients on the network: what they want done, how fast they read, how their connections are cut.

use super::Answer;
use super::family::{Client as _, Family};
use super::network::{LinkId, Task, Way};
use super::world::{Far, World};
use crate::model::client::Order;
use forebay_core::Instant;
use std::time::Duration;

impl<F: Family> World<F> {
    /// Does what a client wants done, until it waits for a fact.
    pub(super) fn obey_client(&mut self, at: usize) {
        while let Some(order) = self.peers[at].client.next_order() {
            self.peers[at].since = self.network.borrow().now;
            self.peers[at].is_thinking = false;
            match order {
                Order::Connect => self.connect_client(at),
                Order::Send(bytes) => {
                    self.note(|| format!("c{} sends {}", at + 1, super::world::shown(&bytes)));
                    if let Some(link) = self.peers[at].link {
                        self.far(link).outbox.extend_from_slice(&bytes);
                        self.write_far(link);
                    }
                }
                Order::Cancel(bytes) => self.connect_canceller(at, &bytes),
                Order::Think(milliseconds) => {
                    self.peers[at].is_thinking = true;
                    let after = Duration::from_millis(milliseconds.into());
                    self.network.borrow_mut().schedule(after, Task::Thought(at));
                }
                Order::Close => self.close_client(at),
            }
        }
    }

    fn any_worker(&mut self) -> usize {
        let count = self.workers.len() as u64;
        self.rng.below(count) as usize
    }

    fn connect_client(&mut self, at: usize) {
        let worker = self.any_worker();
        let link = self.network.borrow_mut().connect(worker);
        self.note(|| format!("c{} connects to worker {worker}: link {link:?}", at + 1));
        self.peers[at].link = link;
        match link {
            Some(link) => self.far(link).peer = Far::Client(at),
            // Connection refused; it is told at its next thought.
            None => {
                let mut network = self.network.borrow_mut();
                network.schedule(Duration::from_millis(1), Task::Thought(at));
            }
        }
    }

    fn connect_canceller(&mut self, at: usize, bytes: &[u8]) {
        let worker = self.any_worker();
        let link = self.network.borrow_mut().connect(worker);
        self.note(|| format!("c{} cancels by worker {worker}: link {link:?}", at + 1));
        if let Some(link) = link {
            let now = self.network.borrow().now;
            self.far(link).peer = Far::Canceller(now);
            let mut out = Vec::new();
            let canceller = F::canceller(&self.peers[at].who, bytes, &mut out);
            self.cancellers.insert(link, canceller);
            self.far(link).outbox.extend_from_slice(&out);
        }
    }

    /// A connection with a request to cancel reads.
    pub(super) fn canceller_reads(&mut self, link: LinkId) {
        let mut network = self.network.borrow_mut();
        let bytes = network.read(link, Way::Out, usize::MAX);
        let ended = network.has_ended(link, Way::Out);
        drop(network);
        let mut out = Vec::new();
        let canceller = self.cancellers.get_mut(&link);
        let stays = canceller.is_none_or(|it| it.on_bytes(&bytes, &mut out));
        let is_silent = out.is_empty();
        self.far(link).outbox.extend_from_slice(&out);
        if ended || !stays {
            self.cancellers.remove(&link);
            self.far(link).peer = Far::Gone;
            self.far(link).closing = true;
            self.write_far(link);
        } else if !is_silent {
            self.write_far(link);
        }
    }

    fn close_client(&mut self, at: usize) {
        self.note(|| format!("c{} closes", at + 1));
        let Some(link) = self.peers[at].link.take() else {
            return;
        };
        self.far(link).peer = Far::Gone;
        self.far(link).closing = true;
        self.write_far(link);
        // Bytes it did not read keep nobody waiting: it is gone.
        self.network
            .borrow_mut()
            .schedule(Duration::ZERO, Task::Read(link));
    }

    /// A peer's connection reached the proxy.
    pub(super) fn on_peer_connected(&mut self, link: LinkId) -> Result<(), String> {
        match self.far(link).peer {
            Far::Client(at) => {
                self.peers[at].client.on_connected();
                self.obey_client(at);
            }
            Far::Canceller(_) => self.write_far(link),
            Far::Database(_) | Far::Gone => {}
        }
        Ok(())
    }

    /// A client has thought, or found that nobody listens.
    pub(super) fn on_thought(&mut self, at: usize) -> Result<(), String> {
        let peer = &mut self.peers[at];
        peer.since = self.network.borrow().now;
        peer.asked.get_or_insert(peer.since);
        let result = match peer.link {
            Some(_) => peer.client.on_thought(),
            None => peer.client.on_closed(),
        };
        result.map_err(|violation| violation.to_string())?;
        self.obey_client(at);
        Ok(())
    }

    /// A client reads.
    pub(super) fn client_reads(&mut self, link: LinkId, at: usize) -> Result<(), String> {
        let slow = self.peers[at].is_slow;
        let max = if slow {
            self.rng.between(1, 2000) as usize
        } else {
            usize::MAX
        };
        let (bytes, ended) = {
            let mut network = self.network.borrow_mut();
            let bytes = network.read(link, Way::Out, max);
            (bytes, network.has_ended(link, Way::Out))
        };
        let now = self.network.borrow().now;
        self.peers[at].since = now;
        if let Some(asked) = self.peers[at]
            .asked
            .filter(|_| !self.peers[at].was_answered)
        {
            self.peers[at].was_answered = true;
            self.answers.push(Answer {
                client: at,
                asked,
                answered: now,
            });
        }
        if !bytes.is_empty() {
            self.note(|| format!("c{} reads {}", at + 1, super::world::shown(&bytes)));
            let result = self.peers[at].client.on_bytes(&bytes);
            result.map_err(|violation| violation.to_string())?;
        }
        self.obey_client(at);
        if self.peers[at].link != Some(link) {
            return Ok(());
        }
        if ended {
            self.note(|| format!("c{} sees the end", at + 1));
            self.peers[at].link = None;
            self.far(link).peer = Far::Gone;
            self.far(link).outbox.clear();
            self.far(link).closing = true;
            self.write_far(link);
            let result = self.peers[at].client.on_closed();
            result.map_err(|violation| violation.to_string())?;
            self.obey_client(at);
        } else if self.network.borrow().readable(link, Way::Out) > 0 {
            let mut network = self.network.borrow_mut();
            let after = network.random_time(Duration::from_millis(20));
            network.schedule(after, Task::Read(link));
        }
        Ok(())
    }

    /// A client's connection is cut.
    pub(super) fn reset_client(&mut self) {
        let at = self.rng.below(self.peers.len() as u64) as usize;
        if let Some(link) = self.peers[at].link {
            self.note(|| format!("fault: c{} is cut", at + 1));
            self.network.borrow_mut().reset(link);
        }
    }

    /// Clients that have waited too long for a reply.
    pub(super) fn check_waits(&self, now: Instant, patience: Duration) -> Result<(), String> {
        for peer in &self.peers {
            let waits = !peer.client.is_done() && !peer.is_thinking;
            if waits && now.since(peer.since) > patience {
                return Err(format!(
                    "{} waits for {:?}: {:?}",
                    peer.client.tag(),
                    now.since(peer.since),
                    peer.client
                ));
            }
        }
        for far in &self.fars {
            if let Far::Canceller(since) = far.peer
                && now.since(since) > patience
            {
                return Err("a cancel request is never done".into());
            }
        }
        Ok(())
    }
}

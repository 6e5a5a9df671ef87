//! Workers in real threads: what they share must not lose a wake-up or a place when their steps truly interleave.
//!
//! Time is a counter that every step of any worker moves on, so that a client that is forgotten still meets its borrow timeout.

use super::simulation::Random;
use crate::*;
use forebay_core::snapshot::PoolLimits;
use forebay_core::{Instant, Refusal};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const TARGET: TargetId = TargetId(1);
const CLIENTS: u32 = 500;

enum Mail {
    Woken,
    Adopted {
        user: u32,
        backend: BackendKey,
        history: History,
    },
}

/// What all threads see.
struct World {
    clock: AtomicU64,
    keys: AtomicU64,
    budget: Arc<Budget>,
    unanswered: AtomicU64,
    mailboxes: Vec<Sender<Mail>>,
}

struct Worker {
    number: usize,
    world: Arc<World>,
    mailbox: Receiver<Mail>,
    pools: Pools,
    random: Random,
    /// Things that end some steps later: the step, and what.
    later: VecDeque<(u64, Later)>,
    steps: u64,
    answered: u32,
    refused: u32,
    /// User of each backend, by key.
    users: std::collections::HashMap<BackendKey, u32>,
}

enum Later {
    Release(BackendKey),
    Dialed(PoolId, u32),
    Closed(BackendKey),
}

impl Worker {
    fn run(mut self) -> (u32, u32) {
        let mut asked = 0;
        while self.world.unanswered.load(Ordering::SeqCst) > 0 {
            let now = Instant::from_nanos(self.world.clock.fetch_add(1_000, Ordering::SeqCst));
            if asked < CLIENTS && asked < self.answered + 20 && self.random.below(3) == 0 {
                self.request(now, asked);
                asked += 1;
            }
            self.step(now);
            // With fewer cores than workers, spinning would only keep the one that has the backend from running.
            std::thread::yield_now();
        }
        (self.answered, self.refused)
    }

    fn pool(&mut self, now: Instant, user: u32) -> PoolId {
        let key = PoolKey {
            target: TARGET,
            user: format!("u{user}").into(),
            database: "db".into(),
            handshake: 0,
        };
        self.pools.pool(now, &key).expect("configured")
    }

    fn request(&mut self, now: Instant, client: u32) {
        let user = u32::try_from(self.random.below(2)).expect("few");
        let pool = self.pool(now, user);
        self.pools
            .request(now, pool, ClientKey(client.into()), 0)
            .expect("just found");
        self.obey(now);
    }

    fn step(&mut self, now: Instant) {
        self.steps += 1;
        while let Ok(mail) = self.mailbox.try_recv() {
            match mail {
                Mail::Woken => self.pools.on_woken(now),
                Mail::Adopted {
                    user,
                    backend,
                    history,
                } => {
                    let pool = self.pool(now, user);
                    self.users.insert(backend, user);
                    self.pools
                        .on_adopted(now, pool, backend, history)
                        .expect("just found");
                }
            }
            self.obey(now);
        }
        while self.later.front().is_some_and(|(at, _)| *at <= self.steps) {
            let (_, later) = self.later.pop_front().expect("seen");
            self.happen(now, later);
            self.obey(now);
        }
        self.pools.on_time(now);
        self.obey(now);
    }

    fn happen(&mut self, now: Instant, later: Later) {
        match later {
            Later::Release(backend) if self.random.below(50) > 0 => {
                self.pools.on_released(now, backend, 0)
            }
            Later::Release(backend) | Later::Closed(backend) => self.pools.on_closed(now, backend),
            Later::Dialed(pool, user) => {
                let backend = BackendKey(self.world.keys.fetch_add(1, Ordering::SeqCst));
                self.users.insert(backend, user);
                self.pools.on_dialed(now, pool, backend, 0, 0);
            }
        }
    }

    fn obey(&mut self, now: Instant) {
        while let Some(order) = self.pools.next_order() {
            match order {
                Order::Lease { backend, .. } => {
                    self.count_answer();
                    self.after(4, Later::Release(backend));
                }
                Order::Refuse { refusal, .. } => {
                    assert_eq!(refusal, Refusal::BorrowTimeout);
                    self.count_answer();
                    self.refused += 1;
                }
                Order::Dial { pool } => {
                    let (_, key, _) = self
                        .pools
                        .pools()
                        .find(|(id, ..)| *id == pool)
                        .expect("ours");
                    let user = key.user[1..].parse().expect("a number");
                    self.after(4, Later::Dialed(pool, user));
                }
                Order::Close { backend, .. } => self.after(4, Later::Closed(backend)),
                Order::Move {
                    backend,
                    to_worker,
                    history,
                } => {
                    self.pools.on_moved(now, backend);
                    let user = self.users[&backend];
                    let mail = Mail::Adopted {
                        user,
                        backend,
                        history,
                    };
                    // Nobody waits at the end, so a worker that is gone misses nothing.
                    drop(self.world.mailboxes[usize::from(to_worker)].send(mail));
                }
                Order::WakeOthers => {
                    let others = self
                        .world
                        .mailboxes
                        .iter()
                        .enumerate()
                        .filter(|(to, _)| *to != self.number);
                    // The last workers to end may find the others gone.
                    others.for_each(|(_, mailbox)| drop(mailbox.send(Mail::Woken)));
                }
            }
        }
        self.pools.check();
        assert!(self.world.budget.used() <= self.world.budget.max());
    }

    fn count_answer(&mut self) {
        self.answered += 1;
        self.world.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    fn after(&mut self, steps: u64, later: Later) {
        self.later.push_back((self.steps + steps, later));
    }
}

#[test]
fn nobody_is_forgotten_when_threads_interleave() {
    for (seed, usable) in [(1, 1), (2, 2), (3, 3), (4, 8)] {
        let (mailboxes, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| channel()).unzip();
        let budget = Budget::new();
        let world = Arc::new(World {
            clock: AtomicU64::new(1),
            keys: AtomicU64::new(0),
            budget: Arc::clone(&budget),
            unanswered: AtomicU64::new(4 * u64::from(CLIENTS)),
            mailboxes,
        });
        let limits = PoolLimits {
            queue_max: CLIENTS,
            borrow_timeout: Duration::from_secs(100),
            ..PoolLimits::default()
        };
        let threads: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(number, mailbox)| {
                let mut pools = Pools::new(u16::try_from(number).expect("few"));
                pools.set_target(Instant::ZERO, TARGET, limits.clone(), Arc::clone(&budget));
                pools.on_limits(Instant::ZERO, TARGET, usable);
                let worker = Worker {
                    number,
                    world: Arc::clone(&world),
                    mailbox,
                    pools,
                    random: Random::new(seed * 10 + number as u64),
                    later: VecDeque::new(),
                    steps: 0,
                    answered: 0,
                    refused: 0,
                    users: std::collections::HashMap::new(),
                };
                std::thread::spawn(move || worker.run())
            })
            .collect();
        for thread in threads {
            assert_eq!(
                thread.join().expect("no panic"),
                (CLIENTS, 0),
                "usable {usable}"
            );
        }
    }
}

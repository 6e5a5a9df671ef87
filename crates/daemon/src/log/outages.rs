//! How often it is told that no connection to a database can be opened: when that begins, once a minute while it lasts, and when it is
//! over. Pure: instants come from outside.
//!
//! What concerns the whole database (it cannot be reached, starts up, is full) is told once for all its users; what concerns one login
//! (a wrong password, no such database) once for that one.

use forebay_core::{Refusal, TargetRefusal};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a failure that lasts is told.
const REMIND_EVERY: Duration = Duration::from_secs(60);
/// Failures that are told apart; databases may be named by clients. Those beyond are told each time.
const OUTAGES_MAX: usize = 1_000;

/// User and database.
type Login<'e> = (&'e Arc<str>, &'e Arc<str>);

/// What fails: a target (`host:port`), or one login there.
type Key = (Arc<str>, Option<(Arc<str>, Arc<str>)>);

/// Something that fails, and has not worked since.
#[derive(Debug)]
struct Outage {
    since: Instant,
    told: Instant,
    failures: u64,
}

/// What is to be said about a failure.
#[derive(Debug, PartialEq, Eq)]
pub enum Say {
    /// That it fails.
    Begins,
    /// That it still fails.
    Lasts(Lasting),
    /// Nothing: it was said a short while ago.
    Nothing,
}

/// How long something has failed, and how often.
#[derive(Debug, PartialEq, Eq)]
pub struct Lasting {
    seconds: u64,
    failures: u64,
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.failures == 1 { "" } else { "s" };
        write!(
            f,
            "{} failed attempt{plural} in {} s",
            self.failures, self.seconds
        )
    }
}

impl Outage {
    fn lasting(&self, now: Instant) -> Lasting {
        Lasting {
            seconds: now.duration_since(self.since).as_secs(),
            failures: self.failures,
        }
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Outages {
    known: HashMap<Key, Outage>,
}

impl Outages {
    /// An attempt to open a connection failed.
    pub fn on_failed(
        &mut self,
        now: Instant,
        target: &Arc<str>,
        login: Login<'_>,
        refusal: &Refusal,
    ) -> Say {
        let login = concerns_login(refusal).then(|| (Arc::clone(login.0), Arc::clone(login.1)));
        let key = (Arc::clone(target), login);
        if self.known.len() >= OUTAGES_MAX && !self.known.contains_key(&key) {
            return Say::Begins;
        }
        let outage = self.known.entry(key).or_insert(Outage {
            since: now,
            told: now,
            failures: 0,
        });
        outage.failures += 1;
        if outage.failures == 1 {
            return Say::Begins;
        }
        if now.duration_since(outage.told) < REMIND_EVERY {
            return Say::Nothing;
        }
        outage.told = now;
        Say::Lasts(outage.lasting(now))
    }

    /// A connection was opened: what was over with it.
    pub fn on_ready(&mut self, now: Instant, target: &Arc<str>, login: Login<'_>) -> Vec<Lasting> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let login = Some((Arc::clone(login.0), Arc::clone(login.1)));
        let keys = [(Arc::clone(target), None), (Arc::clone(target), login)];
        let over = keys.iter().filter_map(|key| self.known.remove(key));
        over.map(|outage| outage.lasting(now)).collect()
    }
}

/// Whether another user or another database may well be let in: invalid authorization (class 28), an unknown database, a lack of
/// privilege.
fn concerns_login(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::TargetRefused { means, .. } => matches!(
            means,
            TargetRefusal::Credentials | TargetRefusal::Database | TargetRefusal::Settings
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Refusal {
        Refusal::TargetUnreachable {
            detail: "connection refused".into(),
        }
    }

    fn refused(code: &str) -> Refusal {
        let means = match code {
            "28P01" => TargetRefusal::Credentials,
            "3D000" => TargetRefusal::Database,
            _ => TargetRefusal::Other,
        };
        Refusal::TargetRefused {
            means,
            code: code.into(),
            message: "no".into(),
        }
    }

    struct Log {
        outages: Outages,
        now: Instant,
        target: Arc<str>,
    }

    impl Log {
        fn new() -> Log {
            Log {
                outages: Outages::default(),
                now: Instant::now(),
                target: Arc::from("db:5432"),
            }
        }

        fn failed(&mut self, user: &str, refusal: &Refusal) -> Say {
            let login = (&Arc::from(user), &Arc::from("shop"));
            self.outages
                .on_failed(self.now, &self.target, login, refusal)
        }

        fn ready(&mut self, user: &str) -> Vec<String> {
            let login = (&Arc::from(user), &Arc::from("shop"));
            let over = self.outages.on_ready(self.now, &self.target, login);
            over.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn an_outage_is_told_when_it_begins_once_a_minute_and_when_it_is_over() {
        let mut log = Log::new();
        let mut told = Vec::new();
        for second in 0..150 {
            match log.failed("app", &unreachable()) {
                Say::Begins => told.push((second, "begins".to_owned())),
                Say::Lasts(lasting) => told.push((second, lasting.to_string())),
                Say::Nothing => {}
            }
            log.now += Duration::from_secs(1);
        }
        let expected = [
            (0, "begins".to_owned()),
            (60, "61 failed attempts in 60 s".to_owned()),
            (120, "121 failed attempts in 120 s".to_owned()),
        ];
        assert_eq!(told, expected);
        assert_eq!(log.ready("app"), ["150 failed attempts in 150 s"]);
        assert_eq!(log.ready("app"), [""; 0]);
        assert_eq!(log.failed("app", &unreachable()), Say::Begins);
        assert_eq!(log.ready("app"), ["1 failed attempt in 0 s"]);
    }

    #[test]
    fn an_outage_of_the_database_is_told_once_for_all_its_users() {
        let mut log = Log::new();
        assert_eq!(log.failed("app", &unreachable()), Say::Begins);
        assert_eq!(log.failed("reports", &refused("57P03")), Say::Nothing);
        assert_eq!(log.ready("third").len(), 1);
    }

    #[test]
    fn a_wrong_password_is_told_of_its_user_whoever_else_gets_in() {
        let mut log = Log::new();
        assert_eq!(log.failed("app", &refused("28P01")), Say::Begins);
        assert_eq!(log.ready("reports"), [""; 0]);
        assert_eq!(log.failed("app", &refused("28P01")), Say::Nothing);
        assert_eq!(log.failed("other", &refused("28P01")), Say::Begins);
        assert_eq!(log.ready("app").len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut log = Log::new();
        for user in 0..2 * OUTAGES_MAX {
            log.failed(&user.to_string(), &refused("3D000"));
        }
        assert_eq!(log.outages.known.len(), OUTAGES_MAX);
        assert_eq!(log.failed("one more", &refused("3D000")), Say::Begins);
        assert_eq!(log.failed("0", &refused("3D000")), Say::Nothing);
    }
}

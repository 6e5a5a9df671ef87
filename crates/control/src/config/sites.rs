//! Which addresses the file names: no two may be listened on that are one for the system, and no target may be ourselves.
//!
//! What proxies ask of one database together is looked at here too, because it shows only when all of them are known.

use super::reader::{Field, Table};
use super::report::{Place, Report};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Whether only one of these can be listened on: the same port, and one address is the other or contains it.
///
/// `0.0.0.0` contains every IPv4 address; `[::]` contains all, because we listen there for both families. Port 0 takes a free one.
pub(crate) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && one.port() != 0 && (a == b || contains(a, b) || contains(b, a))
}

fn contains(wide: IpAddr, narrow: IpAddr) -> bool {
    wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
}

/// A place where somebody listens.
struct Listener {
    address: SocketAddr,
    /// Its key, as an error names it.
    key: String,
}

/// A database that somebody leads to.
struct Goal {
    proxy: Arc<str>,
    host: String,
    port: u16,
    place: Place,
    /// `max_connections_percent`, if that alone bounds the proxy.
    percent: Option<u8>,
}

/// See the head of this file.
#[derive(Default)]
pub(super) struct Sites {
    listeners: Vec<Listener>,
    goals: Vec<Goal>,
}

impl Sites {
    /// Nothing is taken but the place of the metrics.
    pub(super) fn new(metrics: Option<SocketAddr>) -> Sites {
        let listener = |address| Listener {
            address,
            key: "server.metrics".to_owned(),
        };
        Sites {
            listeners: metrics.map(listener).into_iter().collect(),
            goals: Vec::new(),
        }
    }

    /// An endpoint listens on `address`, says `field`.
    pub(super) fn on_endpoint(
        &mut self,
        table: &Table<'_>,
        field: &Field<'_>,
        address: SocketAddr,
    ) {
        let mut taken = self.listeners.iter();
        if let Some(other) = taken.find(|other| collide(other.address, address)) {
            let fix = format!(
                "is taken by {} = \"{}\": choose another port",
                other.key, other.address
            );
            table.wrong(field, fix);
        }
        self.listeners.push(Listener {
            address,
            key: field.place.key.clone(),
        });
    }

    /// A target is at `host` and `port`.
    pub(super) fn on_target(&mut self, host: &str, port: u16, place: Place) {
        self.goals.push(Goal {
            proxy: Arc::from(""),
            host: host.to_owned(),
            port,
            place,
            percent: None,
        });
    }

    /// The targets since `first` are those of this proxy, which takes so much of them.
    pub(super) fn on_proxy(&mut self, first: usize, proxy: &Arc<str>, percent: Option<u8>) {
        for goal in self.goals.iter_mut().skip(first) {
            goal.proxy = Arc::clone(proxy);
            goal.percent = percent;
        }
    }

    /// How many targets there are so far.
    pub(super) fn targets(&self) -> usize {
        self.goals.len()
    }

    /// Looks at what shows only now that all proxies are known.
    pub(super) fn finish(&self, report: &Report) {
        for (index, goal) in self.goals.iter().enumerate() {
            self.check_loop(goal, report);
            self.check_shares(index, report);
        }
    }

    /// A target that is one of our own endpoints would be asked for ever.
    fn check_loop(&self, goal: &Goal, report: &Report) {
        let own = |listener: &&Listener| is_listener(&goal.host, goal.port, listener.address);
        if let Some(listener) = self.listeners.iter().find(own) {
            let fix = format!(
                "with port {} is where Forebay itself listens ({}): name the database's own address and port",
                goal.port, listener.key
            );
            report.error(&goal.place, Some(format!("{:?}", goal.host)), fix);
        }
    }

    /// Proxies over one database must not ask for more of it than there is. Told at the last of them.
    fn check_shares(&self, index: usize, report: &Report) {
        let goal = &self.goals[index];
        let same = |other: &&Goal| (&other.host, other.port) == (&goal.host, goal.port);
        if self.goals[index + 1..].iter().any(|other| same(&other)) {
            return;
        }
        let all: Vec<&Goal> = self.goals.iter().filter(same).collect();
        let percents: Option<Vec<u32>> =
            all.iter().map(|goal| goal.percent.map(u32::from)).collect();
        let sum: u32 = percents.into_iter().flatten().sum();
        if all.len() > 1 && sum > 100 {
            let names: Vec<&str> = all.iter().map(|goal| &*goal.proxy).collect();
            let names = names.join(", ");
            let text = format!(
                "the proxies {names} may take {sum} % of the connections of {}:{} together: let their max_connections_percent add up to at most 100",
                goal.host, goal.port
            );
            report.warning(&goal.place, text);
        }
    }
}

/// Whether a database at `host` and `port` would certainly be what listens on `address`.
pub(crate) fn is_listener(host: &str, port: u16, address: SocketAddr) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        host => host.parse::<IpAddr>(),
    };
    let Ok(ip) = ip.map(|ip| ip.to_canonical()) else {
        return false;
    };
    let own = address.ip().to_canonical();
    // What another address of ours would be, the file does not tell.
    let here = own == ip || (ip.is_loopback() && contains(own, ip));
    here && port == address.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_ourselves_only_where_that_is_certain() {
        let table = [
            ("127.0.0.1", "127.0.0.1:1", true),
            ("localhost", "127.0.0.1:1", true),
            ("localhost", "0.0.0.0:1", true),
            ("[::1]", "[::]:1", true),
            ("127.0.0.1", "127.0.0.1:2", false),
            ("127.0.0.2", "127.0.0.1:1", false),
            ("10.0.0.1", "10.0.0.1:1", true),
            ("10.0.0.1", "0.0.0.0:1", false),
            ("db.example.org", "0.0.0.0:1", false),
        ];
        for (host, address, expected) in table {
            let listener = address.parse().expect("an address");
            assert_eq!(is_listener(host, 1, listener), expected, "{host} {address}");
        }
    }

    #[test]
    fn addresses_collide_when_one_is_or_contains_the_other() {
        let table = [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
        ];
        for (one, other, expected) in table {
            let parse = |text: &str| text.parse().expect("an address");
            assert_eq!(collide(parse(one), parse(other)), expected, "{one} {other}");
            assert_eq!(collide(parse(other), parse(one)), expected, "{other} {one}");
        }
    }
}

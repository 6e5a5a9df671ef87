//! The servers of a suite: a database of its own, and for the second run Forebay before it with a neighbour beside the tests.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Player;
use crate::postgres::{Access, Server, ServerOptions};
use crate::process::{self, Running};
use crate::proxy::Proxy;
use crate::{install, place, psql, workspace};

/// The database that the tests are shown.
const DATABASE: &str = "suite";

/// Backends of all users and databases together: room beside the pool under test for other databases and for listening.
const ROOM: u32 = 40;

/// How long the neighbour may take to connect and to learn what settings there are.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on which a suite has what it expects.
pub struct Stage {
    server: Server,
    access: Access,
    users: Vec<(String, String)>,
}

impl Stage {
    /// Starts one.
    pub fn new(version: u32, player: &dyn Player) -> Result<Stage> {
        let server = Server::start(&ServerOptions {
            version: Some(version),
            max_connections: 200,
            settings: vec![
                "max_prepared_transactions=10".into(),
                "wal_level=logical".into(),
            ],
            ..Default::default()
        })?;
        psql::ask(
            &server.binaries,
            &server.superuser,
            &format!("CREATE DATABASE {DATABASE}"),
        )?;
        let access = Access {
            database: DATABASE.into(),
            ..server.superuser.clone()
        };
        let users = player.arrange(&server, &access)?;
        Ok(Stage {
            server,
            access,
            users,
        })
    }

    /// The database itself.
    pub fn direct(&self) -> &Access {
        &self.access
    }

    /// Forebay before it, with so many backends for each user and database.
    pub fn through(&self, binary: &Path, backends: u32, neighbour: bool) -> Result<Through> {
        let config = self.server.folder().join("forebay.toml");
        place::write_private(&config, &configuration(&self.access, &self.users, backends))?;
        let proxy = Proxy::serve(binary, &config, &self.access, self.server.folder())?;
        let neighbour = neighbour
            .then(|| Neighbour::start(&proxy.access))
            .transpose()?;
        Ok(Through { neighbour, proxy })
    }
}

/// One proxy on a free port; whoever waits for a backend for long fails before the test's own patience ends.
fn configuration(to: &Access, users: &[(String, String)], backends: u32) -> String {
    let superuser = [(to.user.clone(), to.password.clone())];
    let all = || superuser.iter().chain(users);
    let secret = |(user, password): &(String, String)| {
        format!("[[secrets]]\nname = {user:?}\nusername = {user:?}\npassword = {password:?}\n")
    };
    let secrets: String = all().map(secret).collect();
    let auth: Vec<String> = all()
        .map(|(user, _)| format!("{{ secret = {user:?} }}"))
        .collect();
    format!(
        "[server]\nworkers = 1\nmetrics = \"127.0.0.1:0\"\n\n{secrets}\n\
         [[proxies]]\nname = \"suites\"\nengine_family = \"POSTGRESQL\"\nauth = [ {} ]\n\n\
         [[proxies.endpoints]]\nname = \"default\"\nlisten = \"127.0.0.1:0\"\n\n\
         [proxies.target_group]\nlease_order = \"rotate\"\npool_size_max = {backends}\nmax_connections = {ROOM}\nconnection_borrow_timeout = 15\n\n\
         [[proxies.target_group.targets]]\nhost = {:?}\nport = {}\ntls = {{ mode = \"disable\" }}\n",
        auth.join(", "),
        to.host,
        to.port
    )
}

/// A running proxy and its neighbour.
pub struct Through {
    // Dropped in this order: the neighbour first.
    neighbour: Option<Neighbour>,
    /// The proxy.
    pub proxy: Proxy,
}

impl Through {
    /// Ends the neighbour and gives what it has to say, which is an error if its own session was ever not as it had left it.
    pub fn close(self) -> Result<String> {
        let Some(neighbour) = self.neighbour else {
            return Ok("no neighbour".into());
        };
        let said = neighbour.stop();
        let found: Vec<&str> = said
            .iter()
            .filter_map(|line| line.strip_prefix("found "))
            .collect();
        ensure!(
            found.is_empty(),
            "the neighbour met what it had not done: {}\n{}",
            found.join("; "),
            self.proxy.log_tail()
        );
        let visits = said
            .iter()
            .find_map(|line| line.strip_prefix("visits "))
            .unwrap_or("0");
        ensure!(
            visits != "0",
            "the neighbour never had a turn: {}",
            said.join("; ")
        );
        Ok(format!("the neighbour's visits: {visits}"))
    }
}

/// `conformance/neighbour.py`.
struct Neighbour {
    running: Running,
    reader: JoinHandle<Vec<String>>,
}

impl Neighbour {
    fn start(access: &Access) -> Result<Neighbour> {
        let mut python = Command::new(install::program("python3", "python3")?);
        python.arg(workspace::root().join("conformance/neighbour.py"));
        python.args(["--host", &access.host, "--port", &access.port.to_string()]);
        python.args([
            "--user",
            &access.user,
            "--password",
            &access.password,
            "--database",
            &access.database,
        ]);
        let mut running = Running::start(python.stdout(Stdio::piped()), libc::SIGTERM)?;
        let mut output = BufReader::new(
            running
                .take_stdout()
                .context("the output of the neighbour")?,
        );
        let (ready, when) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut first = String::new();
            let started = output.read_line(&mut first).is_ok_and(|length| length > 0);
            // Whoever waits has given up if nobody hears this.
            ready.send(started).ok();
            output.lines().map_while(Result::ok).collect()
        });
        let started = process::poll(PATIENCE, || Ok(when.try_recv().ok()))?;
        ensure!(started == Some(true), "the neighbour did not start");
        Ok(Neighbour { running, reader })
    }

    fn stop(self) -> Vec<String> {
        drop(self.running);
        self.reader.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_of_a_suite_is_known_to_the_proxy() {
        let to = Access {
            host: "127.0.0.1".into(),
            port: 5432,
            user: "postgres".into(),
            password: "p".into(),
            database: "d".into(),
            sslmode: "disable",
        };
        let text = configuration(&to, &[("scram_user".into(), "pass\"word".into())], 2);
        assert!(
            text.contains("auth = [ { secret = \"postgres\" }, { secret = \"scram_user\" } ]"),
            "{text}"
        );
        assert!(
            text.contains("password = \"pass\\\"word\"") && text.contains("pool_size_max = 2"),
            "{text}"
        );
    }
}

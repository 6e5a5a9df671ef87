//! `cargo xtask db`: private database servers of this machine, until Ctrl-C, and what tests of them need.

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::mysql::{self, Family, Programs, Release, tools};
use crate::{cleanup, postgres};

/// Commands about databases.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Starts a server and says how to reach it; Ctrl-C stops and removes it.
    Up(Up),
    /// Fetches servers and tools of MySQL and MariaDB, in the versions that Debian has now, and says where they are.
    Fetch(Fetch),
}

/// What the server should be like.
#[derive(clap::Args)]
pub struct Up {
    /// Whose server
    #[arg(value_enum, default_value_t = Engine::Postgres)]
    engine: Engine,
    /// PostgreSQL: a major version (14 to 18), whatever is there if not given. MariaDB: 10.11 (if not given) or 11.8. MySQL: what Debian unstable has
    #[arg(long)]
    version: Option<String>,
    /// Offer TLS with a self-signed certificate for 127.0.0.1 and localhost; MySQL and MariaDB always do
    #[arg(long)]
    tls: bool,
    /// A port of 127.0.0.1; a free one if not given
    #[arg(long)]
    port: Option<u16>,
    /// The server's limit of connections
    #[arg(long, default_value_t = 100)]
    max_connections: u32,
    /// A further setting, as NAME=VALUE; may be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// Whose server is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// PostgreSQL, the machine's or a fetched one
    Postgres,
    /// MySQL from Debian unstable, or the one in FOREBAY_MYSQL_BIN
    Mysql,
    /// MariaDB from Debian, or the one in FOREBAY_MARIADB_BIN
    Mariadb,
}

/// What to fetch.
#[derive(clap::Args)]
pub struct Fetch {
    /// What to fetch; everything if not given
    #[arg(value_enum)]
    what: Vec<Item>,
}

/// What can be fetched; servers come with their command line clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Item {
    /// MySQL from Debian unstable
    Mysql,
    /// MariaDB 10.11 from Debian 12
    Mariadb,
    /// MariaDB 11.8 from Debian unstable
    #[value(name = "mariadb-11.8")]
    Mariadb11_8,
    /// MySQL Router from Debian unstable
    #[value(alias = "mysql-router")]
    Router,
    /// HAProxy of this machine; installed as root if missing
    Haproxy,
    /// sysbench of this machine; installed as root if missing
    Sysbench,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up(up) => match up.engine {
            Engine::Postgres => postgres_up(up),
            Engine::Mysql => mysql_up(up, Family::MySql),
            Engine::Mariadb => mysql_up(up, Family::MariaDb),
        },
        Command::Fetch(items) => fetch(&items.what),
    }
}

fn postgres_up(up: &Up) -> Result<()> {
    let server = postgres::Server::start(&postgres::ServerOptions {
        version: up.version.as_deref().map(major).transpose()?,
        tls: up.tls,
        port: up.port,
        max_connections: up.max_connections,
        settings: up.settings.clone(),
    })?;
    // One line each, so that scripts can read them.
    println!("version {}", server.binaries.version);
    println!("folder {}", server.folder().display());
    println!("superuser {}", server.superuser.url());
    println!("app {}", server.app.url());
    until_interrupted()
}

/// A major version of PostgreSQL.
pub fn major(version: &str) -> Result<u32> {
    let number = version.parse();
    number.with_context(|| format!("`{version}` is no major version of PostgreSQL, such as 18"))
}

fn mysql_up(up: &Up, family: Family) -> Result<()> {
    let server = mysql::Server::start(&mysql::ServerOptions {
        release: Release::new(family, up.version.as_deref())?,
        port: up.port,
        max_connections: up.max_connections,
        settings: up.settings.clone(),
    })?;
    println!("version {}", server.programs.version);
    println!("folder {}", server.folder().display());
    println!("pid {}", server.pid());
    if let Some(authority) = &server.app.authority {
        println!("authority {}", authority.display());
    }
    println!("superuser {}", server.superuser.url());
    println!("app {}", server.app.url());
    for (plugin, access) in &server.logins {
        println!("login-{plugin} {}", access.url());
    }
    println!("client {}", server.app.client_line(&server.programs));
    until_interrupted()
}

fn until_interrupted() -> ! {
    println!("ready; Ctrl-C stops it and removes everything");
    cleanup::wait_for_interrupt()
}

/// Fetches all that can be had, and fails at the end if something could not.
fn fetch(wanted: &[Item]) -> Result<()> {
    let all = Item::value_variants();
    let items = if wanted.is_empty() { all } else { wanted };
    let mut missing = 0;
    for item in items {
        match fetch_one(*item) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                missing += 1;
                eprintln!("missing: {error:#}");
            }
        }
    }
    ensure!(
        missing == 0,
        "{missing} of {} could not be had",
        items.len()
    );
    Ok(())
}

fn fetch_one(item: Item) -> Result<String> {
    let server = |family, version| {
        let programs = Programs::fetch(&Release::new(family, version)?)?;
        let client = programs.client.display();
        Ok(format!("{}, client {client}", programs.version))
    };
    match item {
        Item::Mysql => server(Family::MySql, None),
        Item::Mariadb => server(Family::MariaDb, Some("10.11")),
        Item::Mariadb11_8 => server(Family::MariaDb, Some("11.8")),
        Item::Router => {
            let router = tools::router(true)?;
            let (program, plugins) = (router.program.display(), router.plugins.display());
            let version = router.version;
            Ok(format!(
                "MySQL Router {version}, {program}, plugin_folder {plugins}"
            ))
        }
        Item::Haproxy => Ok(format!("HAProxy, {}", tools::haproxy()?.display())),
        Item::Sysbench => Ok(format!("sysbench, {}", tools::sysbench()?.display())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn up(words: &str) -> Up {
        let line = Line::try_parse_from(words.split(' '));
        match line.unwrap_or_else(|error| panic!("{error}")).command {
            Command::Up(up) => up,
            Command::Fetch(_) => panic!("not `up`"),
        }
    }

    #[test]
    fn without_an_engine_the_server_is_postgresql_with_all_its_options() {
        let line =
            up("db up --version 18 --tls --port 5999 --max-connections 7 --set a=b --set c=d");
        assert_eq!(line.engine, Engine::Postgres);
        assert_eq!(major(&line.version.unwrap()).unwrap(), 18);
        assert_eq!(
            (line.tls, line.port, line.max_connections),
            (true, Some(5999), 7)
        );
        assert_eq!(line.settings, ["a=b", "c=d"]);
        assert_eq!(up("db up").version, None);
    }

    #[test]
    fn an_engine_is_a_word_of_its_own_before_or_behind_options() {
        assert_eq!(up("db up mysql").engine, Engine::Mysql);
        let line = up("db up --version 11.8 mariadb");
        assert_eq!(line.engine, Engine::Mariadb);
        assert_eq!(line.version.as_deref(), Some("11.8"));
        assert!(Line::try_parse_from(["db", "up", "oracle"]).is_err());
    }

    #[test]
    fn a_version_that_is_none_of_postgresql_is_refused_by_name() {
        assert!(major("10.11").unwrap_err().to_string().contains("10.11"));
    }

    #[test]
    fn what_is_to_be_fetched_is_named_or_everything() {
        let what = |words: &str| match Line::try_parse_from(words.split(' ')).unwrap().command {
            Command::Fetch(fetch) => fetch.what,
            Command::Up(_) => panic!("not `fetch`"),
        };
        assert_eq!(
            what("db fetch router mariadb-11.8"),
            [Item::Router, Item::Mariadb11_8]
        );
        assert!(what("db fetch").is_empty());
    }
}

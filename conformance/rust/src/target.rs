//! Where the server is, and small helpers that every check uses.

use anyhow::{Context as _, bail, ensure};
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

/// The server under test, as the command line names it.
#[derive(Clone)]
pub struct Target {
    /// Address and identity.
    pub config: Config,
    /// Fewer rounds.
    pub quick: bool,
    /// Only checks whose name contains this.
    pub only: String,
}

impl Target {
    /// Reads `--name value` pairs; options of other suites are passed over.
    pub fn from_arguments(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut target = Self {
            config: Config::new(),
            quick: false,
            only: String::new(),
        };
        target
            .config
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        while let Some(word) = words.next() {
            if word == "--quick" {
                target.quick = true;
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--host" => target.config.host(&value),
                "--port" => target.config.port(value.parse().context("--port")?),
                "--user" => target.config.user(&value),
                "--password" => target.config.password(&value),
                "--database" => target.config.dbname(&value),
                "--match" => {
                    target.only = value;
                    continue;
                }
                _ => continue,
            };
        }
        if target.config.get_ports().is_empty() {
            bail!("--host, --port, --user, --password and --database say where the server is");
        }
        Ok(target)
    }

    /// A connected client.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.config).await
    }

    /// `few` with `--quick`, else `many`.
    pub fn rounds(&self, few: usize, many: usize) -> usize {
        if self.quick { few } else { many }
    }
}

/// A connected client whose connection is driven in the background.
pub async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    // Its end is seen by the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

/// Fails unless the result is an error with this SQLSTATE.
pub fn fails_with<T>(
    result: Result<T, tokio_postgres::Error>,
    code: &SqlState,
) -> anyhow::Result<()> {
    match result {
        Ok(_) => bail!("succeeded, wanted {}", code.code()),
        Err(error) => {
            ensure!(
                error.code() == Some(code),
                "wanted {}, got {error:?}",
                code.code()
            );
            Ok(())
        }
    }
}

/// The value of a one-row, one-column query.
pub async fn value(client: &Client, sql: &str) -> anyhow::Result<String> {
    let rows = client.simple_query(sql).await?;
    let row = rows.iter().find_map(|m| match m {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.context("no row")?.to_owned())
}

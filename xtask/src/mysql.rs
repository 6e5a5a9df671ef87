//! Private MySQL and MariaDB servers: fetched, started in a moment, gone without a trace. The sibling of `postgres`.
//!
//! `release` says which are to be had, `programs` finds or fetches them, `template` makes (once) the data directory that
//! servers are copied from, `logins` its users, `server` runs one, `client` asks it, `tools` has what stands beside it in
//! tests and measurements. A server listens on loopback with TLS, and has the superuser `root`, the user `app`, who owns
//! the database `app`, and a user for each way of logging in that it knows.

mod client;
mod logins;
mod programs;
mod release;
mod server;
mod template;
pub mod tools;

pub use client::Asker;
pub use programs::Programs;
pub use release::{Family, Release};
pub use server::{Server, ServerOptions};

use std::path::{Path, PathBuf};

/// How to reach one database as one user.
#[derive(Clone)]
pub struct Access {
    /// Whose server it is.
    pub family: Family,
    /// An address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
    /// A user.
    pub user: String,
    /// Its password; made for this machine alone, at random.
    pub password: String,
    /// A database.
    pub database: String,
    /// What the server's certificate is to be checked by, PEM; without it there is no TLS.
    pub authority: Option<PathBuf>,
}

impl Access {
    /// For `forebay run` and for people.
    pub fn url(&self) -> String {
        // Without being told, whoever connects would take up TLS where it is offered.
        let options = if self.authority.is_some() {
            ""
        } else {
            "?ssl-mode=DISABLED"
        };
        format!(
            "{}://{}:{}@{}:{}/{}{options}",
            self.family.scheme(),
            self.user,
            self.password,
            self.host,
            self.port,
            self.database
        )
    }

    /// A line for a shell that connects with the server's own client.
    pub fn client_line(&self, programs: &Programs) -> String {
        client::line(&client::of(programs, self))
    }
}

/// The file of that name in the first of the folders that has it.
fn first_with(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let files = folders.iter().map(|folder| folder.join(name));
    files.into_iter().find(|file| Path::exists(file))
}

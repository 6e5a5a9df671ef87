//! The data directory that private servers are copied from: made once per version, kept in the cache.
//!
//! Making one takes up to ten seconds, a copy almost nothing. The users are in the template, their passwords beside it in
//! a file that only its owner reads. While it is prepared the server has only a socket, in a folder that nobody else enters.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::client;
use super::logins::{self, Login};
use super::programs::Programs;
use super::release::Family;
use super::server::{self, Launch, PATIENCE};
use crate::place::{self, User, write_private};
use crate::{cleanup, process, steps, workspace};

/// Raised when templates are to be made in another way: those of before are not used any more.
const RECIPE: u32 = 1;

/// A prepared data directory and its users.
pub struct Template {
    /// The data directory to copy.
    pub data: PathBuf,
    /// The superuser.
    pub root: Login,
    /// The owner of the database `app`.
    pub app: Login,
    /// A user for each way of logging in.
    pub others: Vec<Login>,
}

impl Template {
    /// The template for these programs, made when it is missing.
    pub fn find_or_make(programs: &Programs, user: Option<User>) -> Result<Template> {
        let version = &programs.version;
        let name = format!(
            "template-{}-{}-{RECIPE}",
            version.family.scheme(),
            version.number
        );
        let folder = workspace::cache().join(name);
        if !folder.join("complete").exists() {
            make(programs, user, &folder)?;
        }
        Template::at(&folder).with_context(|| {
            format!(
                "cannot read {} (delete it to make it anew)",
                folder.display()
            )
        })
    }

    fn at(folder: &Path) -> Result<Template> {
        let mut all = logins::read(&fs::read_to_string(folder.join("logins"))?);
        let mut take = |user: &str| {
            let at = all.iter().position(|login| login.user == user);
            at.map(|at| all.remove(at))
                .with_context(|| format!("no user {user}"))
        };
        Ok(Template {
            data: folder.join("data"),
            root: take("root")?,
            app: take("app")?,
            others: all,
        })
    }
}

fn make(programs: &Programs, user: Option<User>, folder: &Path) -> Result<()> {
    let version = &programs.version;
    steps::progress(&format!("preparing {version} (once, some seconds)"));
    let place = place::private_folder()?;
    let data = place.path.join("data");
    fs::create_dir(&data)?;
    server::give(user, &place.path)?;
    let launch = Launch {
        programs,
        user,
        data: &data,
        place: &place.path,
    };
    match version.family {
        Family::MySql => initialise(&launch)?,
        Family::MariaDb => bootstrap(&launch)?,
    }
    let made = add_users(&launch)?;
    // Each server is to make an identity of its own.
    fs::remove_file(data.join("auto.cnf")).ok();
    keep(&data, &made, folder)
}

fn initialise(launch: &Launch<'_>) -> Result<()> {
    process::capture(launch.command().arg("--initialize-insecure")).map(drop)
}

/// What `mariadb-install-db` does, without a shell script that would call the machine's own programs.
fn bootstrap(launch: &Launch<'_>) -> Result<()> {
    let share = launch.programs.share();
    let share = share.context("the server's scripts of system tables are missing")?;
    let mut sql = String::from("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n");
    for name in SCRIPTS {
        // The scripts have been called by both names.
        let files = [name.to_owned(), name.replacen("mariadb_", "mysql_", 1)];
        let file = files
            .iter()
            .map(|file| share.join(file))
            .find(|file| file.exists());
        let file = file.with_context(|| format!("no {name} in {}", share.display()))?;
        sql += &fs::read_to_string(file)?;
    }
    let script = launch.place.join("bootstrap.sql");
    fs::write(&script, sql)?;
    let mut command = launch.command();
    process::capture_reading(command.arg("--bootstrap"), &script).map(drop)
}

/// In the order in which they must be run.
const SCRIPTS: [&str; 6] = [
    "mariadb_system_tables.sql",
    "mariadb_performance_tables.sql",
    "mariadb_system_tables_data.sql",
    "fill_help_tables.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mariadb_sys_schema.sql",
];

/// Those that the server's installation made and that need no password, as the statements that drop them.
const DROPS: &str = "SELECT CONCAT('DROP USER ', QUOTE(user), '@', QUOTE(host), ';') FROM mysql.user \
                     WHERE user IN ('', 'root') AND host <> '%'";

/// Runs the server once to make its users; it has ended in good order when this returns.
fn add_users(launch: &Launch<'_>) -> Result<Vec<Login>> {
    let Some(running) = server::start(launch, &["--skip-networking".into()])? else {
        bail!("a server without a port found it taken");
    };
    let socket = launch.socket();
    let ask = |sql: &str| {
        let client = client::at_socket(launch.programs, &socket);
        client::ask(client, sql, launch.place)
    };
    let family = launch.programs.version.family;
    let made = logins::for_plugins(&ask("SHOW PLUGINS")?)?;
    ask(&logins::script(family, &made))?;
    let drops = ask(DROPS)?;
    ask(&format!("{drops}SHUTDOWN;"))?;
    let ended = process::poll(PATIENCE, || Ok(running.ended()))?;
    let ended = ended.with_context(|| format!("the server did not end in {PATIENCE:?}"))?;
    if !ended.success() {
        bail!("the server ended with {ended} when its users had been made");
    }
    Ok(made)
}

/// Moves a finished data directory into the cache, complete or not at all.
fn keep(data: &Path, made: &[Login], folder: &Path) -> Result<()> {
    let mut part = folder.as_os_str().to_owned();
    part.push(format!(".part-{}", std::process::id()));
    let part = PathBuf::from(part);
    fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let remove = part.clone();
    let _part = cleanup::guard(move || drop(fs::remove_dir_all(remove)));
    let mut copy = Command::new("cp");
    process::capture(copy.arg("-a").arg(data).arg(part.join("data")))?;
    write_private(&part.join("logins"), &logins::written(made))?;
    fs::write(part.join("complete"), "")?;
    // When another run was faster, its template serves as well as ours.
    if fs::rename(&part, folder).is_err() && !folder.join("complete").exists() {
        fs::remove_dir_all(folder).ok();
        fs::rename(&part, folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(())
}

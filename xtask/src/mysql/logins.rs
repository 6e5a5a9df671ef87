//! The users of a private server: `root`, `app`, and one for each way of logging in that the server knows.
//!
//! Pure but for the passwords, which are random: decides which users there are and the SQL that makes them.

use std::fmt::Write;

use anyhow::Result;

use super::release::Family;
use crate::place;

/// Users by the plugin that they log in with.
const WAYS: [(&str, &str); 5] = [
    ("native", "mysql_native_password"),
    ("caching_sha2", "caching_sha2_password"),
    ("sha256", "sha256_password"),
    ("ed25519", "ed25519"),
    ("parsec", "parsec"),
];

/// Libraries of MariaDB that hold further ways of logging in.
pub const LIBRARIES: [&str; 3] = ["auth_ed25519", "auth_parsec", "auth_mysql_sha2"];

/// What stands for the plugin of those who were made without naming one.
const DEFAULT: &str = "default";

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its name; from any host.
    pub user: String,
    /// The plugin it logs in with; `default` is the server's own choice.
    pub plugin: String,
    /// Its password.
    pub password: String,
}

/// The users of a server that answers `SHOW PLUGINS` so: columns apart by tabs, name and status first.
pub fn for_plugins(shown: &str) -> Result<Vec<Login>> {
    let ways = WAYS.iter().filter(|(_, plugin)| is_active(shown, plugin));
    [("root", DEFAULT), ("app", DEFAULT)]
        .iter()
        .chain(ways)
        .map(|(user, plugin)| {
            Ok(Login {
                user: (*user).into(),
                plugin: (*plugin).into(),
                password: place::random_password()?,
            })
        })
        .collect()
}

fn is_active(shown: &str, plugin: &str) -> bool {
    shown.lines().any(|line| {
        let mut columns = line.split('\t');
        columns.next() == Some(plugin) && columns.next() == Some("ACTIVE")
    })
}

/// The SQL that makes them, and the database `app`.
pub fn script(family: Family, logins: &[Login]) -> String {
    let mut sql = String::from("CREATE DATABASE app;\n");
    for login in logins {
        let user = format!("'{}'@'%'", login.user);
        let identified = identified(family, login);
        let granted = if login.user == "root" {
            format!("*.* TO {user} WITH GRANT OPTION")
        } else {
            format!("app.* TO {user}")
        };
        let _ = writeln!(
            sql,
            "CREATE USER {user} {identified};\nGRANT ALL ON {granted};"
        );
    }
    sql
}

fn identified(family: Family, login: &Login) -> String {
    let Login {
        plugin, password, ..
    } = login;
    match family {
        _ if plugin == DEFAULT => format!("IDENTIFIED BY '{password}'"),
        Family::MySql => format!("IDENTIFIED WITH {plugin} BY '{password}'"),
        Family::MariaDb => format!("IDENTIFIED VIA {plugin} USING PASSWORD('{password}')"),
    }
}

/// As a file holds them: a user on a line.
pub fn written(logins: &[Login]) -> String {
    let line = |login: &Login| format!("{} {} {}\n", login.user, login.plugin, login.password);
    logins.iter().map(line).collect()
}

/// What [`written`] wrote.
pub fn read(text: &str) -> Vec<Login> {
    let login = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some(Login {
            user: words.next()?,
            plugin: words.next()?,
            password: words.next()?,
        })
    };
    text.lines().filter_map(login).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "binlog\tACTIVE\tSTORAGE ENGINE\nmysql_native_password\tACTIVE\tAUTHENTICATION\n\
                         sha256_password\tDISABLED\tAUTHENTICATION\ned25519\tACTIVE\tAUTHENTICATION\n";

    fn login(user: &str, plugin: &str) -> Login {
        Login {
            user: user.into(),
            plugin: plugin.into(),
            password: "secret".into(),
        }
    }

    #[test]
    fn there_is_a_user_for_each_plugin_that_is_active() {
        let logins = for_plugins(SHOWN).unwrap();
        let users: Vec<&str> = logins.iter().map(|login| login.user.as_str()).collect();
        assert_eq!(users, ["root", "app", "native", "ed25519"]);
        assert_ne!(logins[0].password, logins[1].password);
    }

    #[test]
    fn each_family_names_a_plugin_in_its_own_words() {
        let logins = [login("root", "default"), login("ed25519", "ed25519")];
        let mariadb = script(Family::MariaDb, &logins);
        assert!(mariadb.contains("CREATE USER 'root'@'%' IDENTIFIED BY 'secret';"));
        assert!(mariadb.contains("GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"));
        assert!(mariadb.contains("'ed25519'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret');"));
        let mysql = script(Family::MySql, &[login("sha256", "sha256_password")]);
        assert!(mysql.contains("'sha256'@'%' IDENTIFIED WITH sha256_password BY 'secret';"));
        assert!(mysql.contains("GRANT ALL ON app.* TO 'sha256'@'%';"));
    }

    #[test]
    fn users_come_back_from_a_file_as_they_were() {
        let logins = [login("app", "default"), login("parsec", "parsec")];
        assert_eq!(read(&written(&logins)), logins);
    }
}

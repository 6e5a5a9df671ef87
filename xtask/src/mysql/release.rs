//! Which server is meant, and which one it is: families, versions as they are asked for and as servers say them.
//!
//! Pure: `programs` finds what is decided here.

use std::fmt;

use anyhow::{Result, bail};

use crate::debian_tree::{BOOKWORM, Packages, Program, SID, TRIXIE};

/// Who makes it; the protocol is one, the servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Family {
    /// In front of `://` in a URL, and as the first word of names of ours.
    pub fn scheme(self) -> &'static str {
        match self {
            Family::MySql => "mysql",
            Family::MariaDb => "mariadb",
        }
    }

    /// The variable that names the folder of a server to be used instead of a fetched one.
    pub fn variable(self) -> &'static str {
        match self {
            Family::MySql => "FOREBAY_MYSQL_BIN",
            Family::MariaDb => "FOREBAY_MARIADB_BIN",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::MySql => "MySQL",
            Family::MariaDb => "MariaDB",
        })
    }
}

/// MySQL of whatever version Debian unstable has.
pub const MYSQL: Packages = Packages {
    name: "mysql",
    suites: &[SID],
    packages: &["mysql-server-core", "mysql-client-core"],
    series: "",
    programs: &[
        Program {
            name: "mysqld",
            path: "usr/sbin/mysqld",
            library: None,
            variable: None,
        },
        Program {
            name: "mysql",
            path: "usr/bin/mysql",
            library: None,
            variable: Some(("LIBMYSQL_PLUGIN_DIR", "usr/lib/mysql/plugin")),
        },
    ],
};

/// MariaDB's long-lived release of 2023.
pub const MARIADB_10_11: Packages = Packages {
    name: "mariadb-10.11",
    suites: &[BOOKWORM],
    packages: MARIADB_PACKAGES,
    series: "10.11",
    programs: MARIADB_PROGRAMS,
};

/// MariaDB's long-lived release of 2025; Debian 13 keeps it when unstable has gone on.
pub const MARIADB_11_8: Packages = Packages {
    name: "mariadb-11.8",
    suites: &[SID, TRIXIE],
    packages: MARIADB_PACKAGES,
    series: "11.8",
    programs: MARIADB_PROGRAMS,
};

const MARIADB_PACKAGES: &[&str] = &[
    "mariadb-server",
    "mariadb-server-core",
    "mariadb-client-core",
];

const MARIADB_PROGRAMS: &[Program] = &[
    Program {
        name: "mariadbd",
        path: "usr/sbin/mariadbd",
        library: None,
        variable: None,
    },
    Program {
        name: "mariadb",
        path: "usr/bin/mariadb",
        library: None,
        // Where the client's halves of ed25519, parsec and caching_sha2 lie.
        variable: Some(("MARIADB_PLUGIN_DIR", "usr/lib/TRIPLET/libmariadb3/plugin")),
    },
];

/// A server that is asked for.
#[derive(Clone, Debug)]
pub struct Release {
    /// Who makes it.
    pub family: Family,
    /// How its version must begin; any version if `None`.
    pub series: Option<String>,
}

impl Release {
    /// A family and what `--version` says, which is how a version begins: `9`, `9.7`, `10.11`, `11.8.9`.
    pub fn new(family: Family, version: Option<&str>) -> Result<Release> {
        if let Some(version) = version {
            let is_number = |part: &str| part.parse::<u16>().is_ok();
            if !version.split('.').all(is_number) {
                bail!("`{version}` is no version of {family}: a version is like 9.7 or 10.11");
            }
        }
        Ok(Release {
            family,
            series: version.map(str::to_owned),
        })
    }

    /// Whether a server's version is a wanted one.
    pub fn fits(&self, version: &Version) -> bool {
        let begins = |series: &String| {
            let rest = version.number.strip_prefix(series.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        version.family == self.family && self.series.as_ref().is_none_or(begins)
    }

    /// The packages that may hold it.
    pub fn packages(&self) -> Result<&'static Packages> {
        let series = self.series.as_deref();
        let is_in = |packages: &Packages| {
            let wanted = series.unwrap_or(packages.series);
            let rest = wanted.strip_prefix(packages.series);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match self.family {
            Family::MySql => Ok(&MYSQL),
            Family::MariaDb if is_in(&MARIADB_10_11) => Ok(&MARIADB_10_11),
            Family::MariaDb if is_in(&MARIADB_11_8) => Ok(&MARIADB_11_8),
            Family::MariaDb => bail!(
                "MariaDB {} is not to be had from Debian's archive, only 10.11 and 11.8; name the folder of its `mariadbd` in {}",
                series.unwrap_or_default(),
                self.family.variable()
            ),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.series {
            Some(series) => write!(f, "{} {series}", self.family),
            None => write!(f, "{}", self.family),
        }
    }
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Who made it.
    pub family: Family,
    /// `9.7.4`, `10.11.18`.
    pub number: String,
}

impl Version {
    /// Reads what `mysqld --version` or `mariadbd --version` prints.
    pub fn read(said: &str) -> Option<Version> {
        let mut words = said.split_whitespace();
        words.find(|word| *word == "Ver")?;
        let word = words.next()?;
        let family = if word.contains("-MariaDB") {
            Family::MariaDb
        } else {
            Family::MySql
        };
        let number = word.split(['-', '+', '~']).next()?;
        let is_number = number.split('.').all(|part| part.parse::<u16>().is_ok());
        is_number.then(|| Version {
            family,
            number: number.into(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(family: Family, number: &str) -> Version {
        Version {
            family,
            number: number.into(),
        }
    }

    #[test]
    fn a_server_says_family_and_number() {
        let mysql = "/x/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))";
        let mariadb = "mariadbd  Ver 10.11.18-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64";
        assert_eq!(Version::read(mysql), Some(version(Family::MySql, "9.7.4")));
        assert_eq!(
            Version::read(mariadb),
            Some(version(Family::MariaDb, "10.11.18"))
        );
        assert_eq!(Version::read("postgres (PostgreSQL) 18.6"), None);
        assert_eq!(Version::read("mysqld  Ver unknown"), None);
    }

    #[test]
    fn a_release_fits_the_versions_that_begin_like_it() {
        let any = Release::new(Family::MySql, None).unwrap();
        assert!(any.fits(&version(Family::MySql, "9.7.4")));
        assert!(!any.fits(&version(Family::MariaDb, "10.11.18")));
        let exact = Release::new(Family::MariaDb, Some("11.8")).unwrap();
        assert!(exact.fits(&version(Family::MariaDb, "11.8.9")));
        assert!(!exact.fits(&version(Family::MariaDb, "11.80.1")));
    }

    #[test]
    fn mariadb_without_a_version_is_the_one_of_debian_stable() {
        let packages = |wanted: Option<&str>| {
            let release = Release::new(Family::MariaDb, wanted).unwrap();
            release.packages().map(|packages| packages.name)
        };
        assert_eq!(packages(None).unwrap(), "mariadb-10.11");
        assert_eq!(packages(Some("10.11.18")).unwrap(), "mariadb-10.11");
        assert_eq!(packages(Some("11.8")).unwrap(), "mariadb-11.8");
        let error = packages(Some("12.1")).unwrap_err().to_string();
        assert!(error.contains("FOREBAY_MARIADB_BIN"), "{error}");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for wrong in ["", "newest", "9.7-1", "9..7"] {
            assert!(Release::new(Family::MySql, Some(wrong)).is_err(), "{wrong}");
        }
    }
}

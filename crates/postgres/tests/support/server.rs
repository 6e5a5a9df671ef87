//! A tiny PostgreSQL server: enough SQL, transactions, statements and COPY to tell a client of its own from one behind the proxy. Every
//! row says which text made it and which settings were in force. (`src/backend/tcop/postgres.c`, `xact.c`, `guc.c`.)

use forebay_postgres::wire::read::Fields;
use forebay_postgres::wire::{self, HEADER_BYTES, write};
use std::collections::BTreeMap;

type Settings = BTreeMap<String, String>;

/// One connection that has logged in.
#[derive(Debug, Default)]
pub struct Server {
    inbox: Vec<u8>,
    settings: Settings,
    /// Settings when the open transaction began.
    before: Option<Settings>,
    explicit: bool,
    failed: bool,
    savepoints: Vec<(String, Settings)>,
    statements: BTreeMap<Vec<u8>, String>,
    portals: BTreeMap<Vec<u8>, String>,
    skipping: bool,
    copy: Option<Copy>,
    reported: String,
    out: Vec<u8>,
}

/// A COPY FROM STDIN that reads data.
#[derive(Debug)]
struct Copy {
    rows: usize,
    bad: bool,
    /// Statements behind it, when it came in a Query.
    rest: Option<Vec<String>>,
}

/// SQLSTATE and message.
type Fault = (&'static str, String);

impl Server {
    /// Takes bytes, cut anywhere; returns what is answered.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.inbox.extend_from_slice(bytes);
        while let Ok(Some(header)) = wire::header(&self.inbox)
            && header.len <= self.inbox.len()
        {
            let message: Vec<u8> = self.inbox.drain(..header.len).collect();
            self.on_message(header.kind, &message[HEADER_BYTES..]);
        }
        std::mem::take(&mut self.out)
    }

    /// The status that ReadyForQuery would say.
    pub fn status(&self) -> u8 {
        match (self.explicit, self.failed) {
            (false, _) => b'I',
            (true, false) => b'T',
            (true, true) => b'E',
        }
    }

    /// How many statements it has.
    pub fn statements(&self) -> usize {
        self.statements.len()
    }

    /// Whether it reads COPY data.
    pub fn reads_copy(&self) -> bool {
        self.copy.is_some()
    }

    fn on_message(&mut self, kind: u8, body: &[u8]) {
        if self.skipping && kind != b'S' {
            return;
        }
        if self.copy.is_some() {
            return self.on_copy_message(kind, body);
        }
        match kind {
            b'Q' => {
                self.statements.remove(&b""[..]);
                self.portals.remove(&b""[..]);
                let text = text(body);
                let statements = text.split(';').map(|one| one.trim().to_owned());
                let statements: Vec<_> = statements.filter(|one| !one.is_empty()).collect();
                if statements.is_empty() {
                    write::message(&mut self.out, b'I', |_| ());
                }
                self.run_all(statements.len() > 1, statements);
            }
            b'S' => {
                self.skipping = false;
                self.end_implicit();
                self.ready();
            }
            b'F' => {
                write::message(&mut self.out, b'V', |out| out.extend_from_slice(&[0xff; 4]));
                self.ready();
            }
            b'P' | b'B' | b'D' | b'E' | b'C' => {
                if let Err(fault) = self.extended(kind, body) {
                    self.fail(&fault);
                    self.skipping = true;
                }
            }
            _ => {}
        }
    }

    /// Statements of one Query, up to its end, an error or a COPY.
    fn run_all(&mut self, several: bool, statements: Vec<String>) {
        let mut rest = statements.into_iter();
        while let Some(statement) = rest.next() {
            match self.run(&statement, several) {
                Ok(()) if self.copy.is_some() => {
                    if let Some(copy) = &mut self.copy {
                        copy.rest = Some(rest.collect());
                    }
                    return;
                }
                Ok(()) => {}
                Err(fault) => {
                    self.fail(&fault);
                    break;
                }
            }
        }
        self.end_implicit();
        self.ready();
    }

    fn extended(&mut self, kind: u8, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields(body);
        match kind {
            b'P' => {
                let (name, text) = (string(&mut fields)?, string(&mut fields)?);
                if name.is_empty() {
                    self.statements.remove(&name);
                }
                let text = String::from_utf8_lossy(&text).into_owned();
                if !text.is_empty() {
                    self.allowed(&text)?;
                }
                if text.starts_with("selec ") {
                    return Err(("42601", "syntax error".to_owned()));
                }
                if self.statements.contains_key(&name) {
                    return Err((
                        "42P05",
                        quoted("prepared statement", &name, "already exists"),
                    ));
                }
                self.statements.insert(name, text);
                self.begin_implicit();
                write::message(&mut self.out, b'1', |_| ());
            }
            b'B' => {
                let (portal, name) = (string(&mut fields)?, string(&mut fields)?);
                let text = self.statement(&name)?;
                self.allowed(&text)?;
                self.begin_implicit();
                self.portals.insert(portal, text);
                write::message(&mut self.out, b'2', |_| ());
            }
            b'D' if fields.byte() == Ok(b'S') => {
                let text = self.statement(&string(&mut fields)?)?;
                self.allowed(&text)?;
                write::message(&mut self.out, b't', |out| out.extend_from_slice(&[0, 0]));
                self.describe(&text)?;
            }
            b'D' => {
                let text = self.portal(&string(&mut Fields(&body[1..]))?)?;
                self.describe(&text)?;
            }
            b'E' => {
                let text = self.portal(&string(&mut fields)?)?;
                self.run(&text, false)?;
            }
            _ => {
                let (what, name) = (fields.byte(), string(&mut fields)?);
                match what {
                    Ok(b'S') => drop(self.statements.remove(&name)),
                    _ => drop(self.portals.remove(&name)),
                }
                write::message(&mut self.out, b'3', |_| ());
            }
        }
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<String, Fault> {
        let missing = || match name {
            b"" => "unnamed prepared statement does not exist".to_owned(),
            name => quoted("prepared statement", name, "does not exist"),
        };
        let found = self.statements.get(name).cloned();
        found.ok_or_else(|| ("26000", missing()))
    }

    fn portal(&self, name: &[u8]) -> Result<String, Fault> {
        let found = self.portals.get(name).cloned();
        found.ok_or_else(|| ("34000", quoted("portal", name, "does not exist")))
    }

    fn describe(&mut self, text: &str) -> Result<(), Fault> {
        self.allowed(text)?;
        if text.starts_with("select") {
            write::message(&mut self.out, b'T', |out| out.extend_from_slice(&[0, 0]));
        } else {
            write::message(&mut self.out, b'n', |_| ());
        }
        Ok(())
    }

    /// In a failed transaction only its end is let through.
    fn allowed(&self, text: &str) -> Result<(), Fault> {
        let ends = text.starts_with("commit") || text.starts_with("rollback");
        if self.failed && !ends {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(("25P02", message.to_owned()));
        }
        Ok(())
    }

    fn begin_implicit(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.settings.clone());
        }
    }

    fn end_implicit(&mut self) {
        if !self.explicit {
            self.end();
        }
    }

    fn end(&mut self) {
        (self.before, self.explicit, self.failed) = (None, false, false);
        self.savepoints.clear();
        self.portals.clear();
    }

    /// Runs one statement and says its tag.
    fn run(&mut self, text: &str, several: bool) -> Result<(), Fault> {
        self.allowed(text)?;
        self.begin_implicit();
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let tag = match *words.as_slice() {
            ["begin"] => {
                self.explicit = true;
                "BEGIN"
            }
            ["commit"] if self.failed => self.rollback(),
            ["commit"] => {
                self.end();
                "COMMIT"
            }
            ["rollback"] => self.rollback(),
            ["savepoint", name] => {
                if !self.explicit {
                    return Err((
                        "25P01",
                        "SAVEPOINT can only be used in transaction blocks".to_owned(),
                    ));
                }
                self.savepoints
                    .push((name.to_owned(), self.settings.clone()));
                "SAVEPOINT"
            }
            ["rollback", "to", name] => self.rollback_to(name)?,
            ["set", name, "to", ..] => {
                let value = text.split('\'').nth(1).unwrap_or_default();
                self.settings.insert(name.to_owned(), value.to_owned());
                "SET"
            }
            ["reset", "all"] => {
                self.settings.clear();
                "RESET"
            }
            ["reset", name] => {
                self.settings.remove(name);
                "RESET"
            }
            ["discard", "all"] => {
                if self.explicit || several {
                    return Err((
                        "25001",
                        "DISCARD ALL cannot run inside a transaction block".to_owned(),
                    ));
                }
                self.settings.clear();
                self.statements.retain(|name, _| name.is_empty());
                // It commits at once.
                self.before = Some(self.settings.clone());
                "DISCARD ALL"
            }
            ["deallocate", "all"] => {
                self.statements.retain(|name, _| name.is_empty());
                "DEALLOCATE ALL"
            }
            ["deallocate", name] => {
                if self.statements.remove(name.as_bytes()).is_none() {
                    return Err((
                        "26000",
                        quoted("prepared statement", name.as_bytes(), "does not exist"),
                    ));
                }
                "DEALLOCATE"
            }
            ["prepare", name, "as", ..] => {
                let (_, body) = text.split_once(" as ").unwrap_or_default();
                if self.statements.contains_key(name.as_bytes()) {
                    return Err((
                        "42P05",
                        quoted("prepared statement", name.as_bytes(), "already exists"),
                    ));
                }
                self.statements.insert(name.into(), body.to_owned());
                "PREPARE"
            }
            ["execute", name] => {
                let body = self.statement(name.as_bytes())?;
                if !["select", "set", "fail"]
                    .iter()
                    .any(|word| body.starts_with(word))
                {
                    return Err(("0A000", "EXECUTE runs little here".to_owned()));
                }
                return self.run(&body, several);
            }
            ["unlisten", ..] => "UNLISTEN",
            ["copy", table, "from", "stdin"] => {
                write::message(&mut self.out, b'G', |out| out.extend_from_slice(&[0, 0, 0]));
                if table == "view" {
                    return Err(("55000", "cannot copy to view".to_owned()));
                }
                let (rows, bad, rest) = (0, table == "bad", None);
                self.copy = Some(Copy { rows, bad, rest });
                return Ok(());
            }
            ["copy", ..] => {
                write::message(&mut self.out, b'H', |out| out.extend_from_slice(&[0, 0, 0]));
                write::message(&mut self.out, b'd', |out| out.extend_from_slice(b"row"));
                write::message(&mut self.out, b'c', |_| ());
                "COPY 1"
            }
            ["fail"] => return Err(("22012", "division by zero".to_owned())),
            ["select", ..] => {
                self.select(text);
                "SELECT 1"
            }
            _ => "DONE",
        };
        write::command_complete(&mut self.out, tag.as_bytes());
        Ok(())
    }

    fn select(&mut self, text: &str) {
        if let Some(arguments) = text.strip_prefix("SELECT pg_catalog.set_config(") {
            let parts: Vec<&str> = arguments.split('\'').collect();
            self.settings
                .insert(parts[1].to_owned(), parts[3].to_owned());
        }
        let row = format!("{text} {:?}", self.settings);
        write::message(&mut self.out, b'D', |out| {
            out.extend_from_slice(&1_u16.to_be_bytes());
            out.extend_from_slice(&(row.len() as u32).to_be_bytes());
            out.extend_from_slice(row.as_bytes());
        });
    }

    fn rollback(&mut self) -> &'static str {
        if let Some(before) = self.before.take() {
            self.settings = before;
        }
        self.end();
        "ROLLBACK"
    }

    fn rollback_to(&mut self, name: &str) -> Result<&'static str, Fault> {
        let found = self.savepoints.iter().rposition(|(known, _)| known == name);
        let Some(at) = found else {
            return Err((
                "3B001",
                quoted("savepoint", name.as_bytes(), "does not exist"),
            ));
        };
        self.savepoints.truncate(at + 1);
        self.settings = self.savepoints[at].1.clone();
        self.failed = false;
        Ok("ROLLBACK")
    }

    fn on_copy_message(&mut self, kind: u8, body: &[u8]) {
        let Some(copy) = &mut self.copy else { return };
        match kind {
            b'd' if copy.bad => self.end_copy(Err(("22P02", "invalid input syntax".to_owned()))),
            b'd' => copy.rows += 1,
            b'c' => {
                let rows = copy.rows;
                self.end_copy(Ok(rows));
            }
            b'f' => {
                let why = format!("COPY from stdin failed: {}", text(body));
                self.end_copy(Err(("57014", why)));
            }
            b'S' | b'H' => {}
            _ => self.end_copy(Err(("08P01", "unexpected message type".to_owned()))),
        }
    }

    fn end_copy(&mut self, result: Result<usize, Fault>) {
        let Some(copy) = self.copy.take() else { return };
        match (result, copy.rest) {
            (Ok(rows), rest) => {
                write::command_complete(&mut self.out, format!("COPY {rows}").as_bytes());
                if let Some(rest) = rest {
                    self.run_all(true, rest);
                }
            }
            (Err(fault), Some(_)) => {
                self.fail(&fault);
                self.end_implicit();
                self.ready();
            }
            (Err(fault), None) => {
                self.fail(&fault);
                self.skipping = true;
            }
        }
    }

    fn fail(&mut self, (code, message): &Fault) {
        write::error(&mut self.out, "ERROR", code, message);
        if self.explicit {
            self.failed = true;
            let before = self.savepoints.last().map(|(_, before)| before);
            if let Some(before) = before.or(self.before.as_ref()) {
                self.settings = before.clone();
            }
        } else if let Some(before) = self.before.take() {
            self.settings = before;
            self.portals.clear();
        }
    }

    fn ready(&mut self) {
        let now = self
            .settings
            .get("application_name")
            .cloned()
            .unwrap_or_default();
        if now != self.reported {
            write::parameter_status(&mut self.out, b"application_name", now.as_bytes());
            self.reported = now;
        }
        let status = self.status();
        write::ready_for_query(&mut self.out, status);
    }
}

fn quoted(what: &str, name: &[u8], is: &str) -> String {
    format!("{what} \"{}\" {is}", String::from_utf8_lossy(name))
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned()
}

fn string(fields: &mut Fields<'_>) -> Result<Vec<u8>, Fault> {
    let text = fields.string();
    text.map(<[u8]>::to_vec)
        .map_err(|_| ("08P01", "invalid message format".to_owned()))
}

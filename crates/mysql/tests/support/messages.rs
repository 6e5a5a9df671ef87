//! Packets as lines of text, and back. A packet that a line cannot give back byte by byte is shown as `Raw`.
//!
//! Commands and answers have the names of MySQL's documentation, without prefixes. Which answer a payload is depends on what was asked
//! and on what came before: `talk` knows. Numbers of packets are not written, unless one is not the next: `Seq 7 Error …`. A message of
//! 16 MiB and more is one line.

pub use super::notation::{Field, From, Line};
use super::notation::{number, text, word};
use forebay_mysql::password::{caching_sha2, native};
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::ColumnDefinition;
use forebay_mysql::wire::greeting::{Greeting, NONCE_BYTES};
use forebay_mysql::wire::read::Fields;
use forebay_mysql::wire::reply::{ErrorPacket, OkPacket, PrepareOk};
use forebay_mysql::wire::response::{Opening, Response};
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::tracker::Change;
use forebay_mysql::wire::{HEADER_BYTES, write};

/// What the two ends of a connection have agreed on, and the nonce that was last sent.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub capabilities: Capabilities,
    pub nonce: [u8; NONCE_BYTES],
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            capabilities: Capabilities::NONE,
            nonce: [b'x'; NONCE_BYTES],
        }
    }
}

impl Terms {
    pub fn is_new(&self) -> bool {
        self.capabilities.has(Capabilities::DEPRECATE_EOF)
    }
}

/// Commands: names, numbers and layouts. Layout: `r` rest of the packet, `w` 32 bits, `h` 16 bits, `b` 8 bits, `s` text with NUL.
const COMMANDS: &[(&str, u8, &str)] = &[
    ("Quit", 0x01, ""),
    ("InitDb", 0x02, "r"),
    ("Query", 0x03, "r"),
    ("FieldList", 0x04, "s"),
    ("Refresh", 0x07, "b"),
    ("Statistics", 0x09, ""),
    ("ProcessInfo", 0x0a, ""),
    ("ProcessKill", 0x0c, "w"),
    ("Debug", 0x0d, ""),
    ("Ping", 0x0e, ""),
    ("StmtPrepare", 0x16, "r"),
    ("StmtSendLongData", 0x18, "whr"),
    ("StmtClose", 0x19, "w"),
    ("StmtReset", 0x1a, "w"),
    ("SetOption", 0x1b, "h"),
    ("StmtFetch", 0x1c, "ww"),
    ("ResetConnection", 0x1f, ""),
];

const EXECUTE: u8 = 0x17;

/// Status flags by name; `AUTOCOMMIT` is there unless it is `manual`.
const FLAGS: &[(&str, Status)] = &[
    ("trans", Status::IN_TRANS),
    ("more", Status::MORE_RESULTS_EXISTS),
    ("no_index", Status::NO_INDEX_USED),
    ("cursor", Status::CURSOR_EXISTS),
    ("last", Status::LAST_ROW_SENT),
    ("dropped", Status::DB_DROPPED),
    ("no_backslash", Status::NO_BACKSLASH_ESCAPES),
    ("readonly", Status::IN_TRANS_READONLY),
    ("ansi", Status::ANSI_QUOTES),
];

/// What a payload is an answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Login,
    First,
    Prepared,
    Text,
    Column,
    ColumnsEnd,
    Rows,
    List,
}

impl Line {
    /// The bytes, as long as they will be: numbers and nonces are not the ones that will be sent.
    pub fn encode(&self, from: From) -> Vec<u8> {
        let terms = Terms {
            capabilities: Capabilities::SESSION_TRACK,
            ..Terms::default()
        };
        self.packet(from, &terms, 0)
    }

    /// The bytes. `Raw "…"` has any payload, `Bytes "…"` is no packet at all.
    pub fn packet(&self, from: From, terms: &Terms, sequence: u8) -> Vec<u8> {
        match self.name.as_str() {
            "Bytes" => return text(self.fields.first()).to_vec(),
            "Seq" => {
                let sequence = number(self.fields.first()) as u8;
                return self.inner().packet(from, terms, sequence);
            }
            "ColumnsEnd" if terms.is_new() => return Vec::new(),
            _ => {}
        }
        let payload = match (self.name.as_str(), from) {
            ("Raw", _) => text(self.fields.first()).to_vec(),
            (_, From::Client) => self.request(terms),
            (_, From::Backend) => self.reply(terms),
        };
        let mut out = Vec::new();
        write::packet(&mut out, sequence, |out| out.extend_from_slice(&payload));
        out
    }

    /// The line behind `Seq` and its number.
    pub fn inner(&self) -> Line {
        Line {
            name: word(self.fields.get(1)).to_owned(),
            fields: self.fields[2..].to_vec(),
        }
    }

    /// The same with a number of its own.
    pub fn numbered(self, sequence: u8) -> Line {
        let mut fields = vec![Field::Word(sequence.to_string()), Field::Word(self.name)];
        fields.extend(self.fields);
        line("Seq", fields)
    }

    fn request(&self, terms: &Terms) -> Vec<u8> {
        let mut fields = self.fields.iter();
        match self.name.as_str() {
            "Response" => return response(&self.fields, terms),
            "SslRequest" => {
                let opening = opening(terms.capabilities | Capabilities::SSL);
                let mut out = Vec::new();
                opening.write(&mut out, 0);
                return out.split_off(HEADER_BYTES);
            }
            "Answer" => return proof(&self.fields, terms),
            "File" => return text(fields.next()).to_vec(),
            "FileEnd" => return Vec::new(),
            "StmtExecute" => return execute(&self.fields),
            _ => {}
        }
        let known = COMMANDS.iter().find(|(name, ..)| *name == self.name);
        let (_, kind, layout) = known.unwrap_or_else(|| panic!("no command {}", self.name));
        let mut out = vec![*kind];
        for code in layout.bytes() {
            let field = fields.next();
            match code {
                b'r' => out.extend_from_slice(text(field)),
                b's' => write::string(&mut out, text(field)),
                b'b' => out.push(number(field) as u8),
                b'h' => out.extend_from_slice(&(number(field) as u16).to_le_bytes()),
                _ => out.extend_from_slice(&number(field).to_le_bytes()),
            }
        }
        assert!(fields.next().is_none(), "too many fields: {self}");
        out
    }

    fn reply(&self, terms: &Terms) -> Vec<u8> {
        let mut fields = self.fields.iter();
        let mut out = Vec::new();
        match self.name.as_str() {
            "Ok" => return ok(&self.fields, terms, false),
            "End" | "ColumnsEnd" => return ok(&self.fields, terms, true),
            "Eof" => return ok(&self.fields, &Terms::default(), true),
            "Error" => {
                let code = number(fields.next()) as u16;
                let state = word(fields.next()).as_bytes().try_into().unwrap();
                let error = ErrorPacket {
                    code,
                    state: Some(state),
                    message: text(fields.next()),
                };
                error.write(&mut out, 0);
            }
            "Columns" => {
                write::packet(&mut out, 0, |out| {
                    write::number(out, number(fields.next()).into());
                });
            }
            "Column" => {
                let column = ColumnDefinition {
                    name: text(fields.next()),
                    collation: 45,
                    length: 40,
                    kind: 253,
                    ..ColumnDefinition::default()
                };
                column.write(&mut out, 0, terms.capabilities);
            }
            "Row" => {
                for field in fields.by_ref() {
                    match field {
                        Field::Text(text) => write::counted(&mut out, text),
                        Field::Word(_) => write::counted_or_null(&mut out, None),
                    }
                }
                return out;
            }
            "Prepared" => {
                let prepared = PrepareOk {
                    statement: number(fields.next()),
                    columns: number(fields.next()) as u16,
                    parameters: number(fields.next()) as u16,
                    warnings: 0,
                    are_described: true,
                };
                prepared.write(&mut out, 0, terms.capabilities);
            }
            "LocalFile" => {
                let name = text(fields.next());
                write::packet(&mut out, 0, |out| {
                    out.push(0xfb);
                    out.extend_from_slice(name);
                });
            }
            "Text" => return text(fields.next()).to_vec(),
            "AuthMore" => return [b"\x01", text(fields.next())].concat(),
            other => panic!("no answer {other}"),
        }
        assert!(fields.next().is_none(), "too many fields: {self}");
        out.split_off(HEADER_BYTES)
    }

    /// Reads a command.
    pub fn of_request(payload: &[u8], terms: &Terms) -> Line {
        let read = read_request(payload);
        checked(read, payload, From::Client, terms)
    }

    /// Reads an answer.
    pub fn of_reply(payload: &[u8], place: Place, terms: &Terms) -> Line {
        if place == Place::Login
            && let Some(line) = of_login(payload)
        {
            return line;
        }
        let read = read_reply(payload, place, terms);
        checked(read, payload, From::Backend, terms)
    }
}

/// The line, if it gives the payload back.
fn checked(read: Option<Line>, payload: &[u8], from: From, terms: &Terms) -> Line {
    let back = |line: &Line| match from {
        From::Client => line.request(terms),
        From::Backend => line.reply(terms),
    };
    let read = read.filter(|line| back(line) == payload);
    read.unwrap_or_else(|| line("Raw", vec![Field::Text(payload.to_vec())]))
}

fn line(name: &str, fields: Vec<Field>) -> Line {
    Line {
        name: name.to_owned(),
        fields,
    }
}

fn words(name: &str, words: &[String]) -> Line {
    line(name, words.iter().cloned().map(Field::Word).collect())
}

fn opening(capabilities: Capabilities) -> Opening {
    Opening {
        capabilities,
        message_bytes_max: 1 << 24,
        collation: 45,
    }
}

/// `"user" method "password" "database"`, the last if there is one.
fn response(fields: &[Field], terms: &Terms) -> Vec<u8> {
    let database = fields.get(3).map(|field| text(Some(field)));
    let with_database = match database {
        Some(_) => Capabilities::CONNECT_WITH_DB,
        None => Capabilities::NONE,
    };
    let plugin = match word(fields.get(1)) {
        "sha2" => "caching_sha2_password",
        _ => "mysql_native_password",
    };
    let proof = proof(&fields[1..3], terms);
    let response = Response {
        opening: opening(terms.capabilities | with_database),
        user: text(fields.first()),
        proof: &proof,
        database,
        plugin: Some(plugin.as_bytes()),
        attributes: b"",
        zstd_level: None,
    };
    let mut out = Vec::new();
    response.write(&mut out, 0).unwrap();
    out.split_off(HEADER_BYTES)
}

/// `native "password"`, `sha2 "password"`, `clear "password"`.
fn proof(fields: &[Field], terms: &Terms) -> Vec<u8> {
    let password = text(fields.get(1));
    match word(fields.first()) {
        "native" => native::answer(password, &terms.nonce),
        "sha2" => caching_sha2::answer(password, &terms.nonce),
        "clear" => [password, b"\0"].concat(),
        other => panic!("no method {other}"),
    }
}

/// `id cursor|plain bare`, or `id cursor|plain typed|again` and a value each: a text, `NULL`, or `long` for one that was sent ahead.
fn execute(fields: &[Field]) -> Vec<u8> {
    let mut out = vec![EXECUTE];
    out.extend_from_slice(&number(fields.first()).to_le_bytes());
    out.push(u8::from(word(fields.get(1)) == "cursor"));
    out.extend_from_slice(&1_u32.to_le_bytes());
    let values = &fields[3..];
    let how = word(fields.get(2));
    if how == "bare" {
        return out;
    }
    let mut nulls = vec![0_u8; values.len().div_ceil(8)];
    for (at, value) in values.iter().enumerate() {
        if matches!(value, Field::Word(word) if word == "NULL") {
            nulls[at / 8] |= 1 << (at % 8);
        }
    }
    out.extend_from_slice(&nulls);
    out.push(u8::from(how == "typed"));
    if how == "typed" {
        values
            .iter()
            .for_each(|_| out.extend_from_slice(&[0xfd, 0]));
    }
    for value in values {
        if let Field::Text(text) = value {
            write::counted(&mut out, text);
        }
    }
    out
}

fn read_execute(payload: &[u8]) -> Option<Line> {
    let mut fields = Fields(payload);
    fields.byte().ok()?;
    let id = fields.u32().ok()?;
    let cursor = if fields.byte().ok()? == 1 {
        "cursor"
    } else {
        "plain"
    };
    fields.u32().ok()?;
    let mut read = vec![Field::Word(id.to_string()), Field::Word(cursor.into())];
    if fields.is_empty() {
        read.push(Field::Word("bare".into()));
        return Some(line("StmtExecute", read));
    }
    // How many values there are is not said: as many as give the payload back.
    let rest = fields.0;
    (1..=16_usize).find_map(|count| {
        let mut fields = Fields(rest);
        let nulls = fields.bytes(count.div_ceil(8)).ok()?;
        let typed = fields.byte().ok()? == 1;
        if typed {
            fields.bytes(2 * count).ok()?;
        }
        let mut read = read.clone();
        read.push(Field::Word(if typed { "typed" } else { "again" }.into()));
        for at in 0..count {
            if nulls[at / 8] & 1 << (at % 8) != 0 {
                read.push(Field::Word("NULL".into()));
            } else if fields.is_empty() {
                read.push(Field::Word("long".into()));
            } else {
                read.push(Field::Text(fields.counted().ok()?.to_vec()));
            }
        }
        let line = line("StmtExecute", read);
        (execute(&line.fields) == payload).then_some(line)
    })
}

fn read_request(payload: &[u8]) -> Option<Line> {
    let kind = *payload.first()?;
    if kind == EXECUTE {
        return read_execute(payload);
    }
    let (name, _, layout) = COMMANDS.iter().find(|(_, known, _)| *known == kind)?;
    let mut rest = Fields(&payload[1..]);
    let mut fields = Vec::new();
    for code in layout.bytes() {
        fields.push(match code {
            b'r' => Field::Text(std::mem::take(&mut rest.0).to_vec()),
            b's' => Field::Text(rest.string().ok()?.to_vec()),
            b'b' => Field::Word(rest.byte().ok()?.to_string()),
            b'h' => Field::Word(rest.u16().ok()?.to_string()),
            _ => Field::Word(rest.u32().ok()?.to_string()),
        });
    }
    Some(line(name, fields))
}

/// `rows=1 id=2 warnings=3 flag… "info" changed schema "name" variable "name" "value"`, as much of it as is not as usual.
fn ok(fields: &[Field], terms: &Terms, ends_rows: bool) -> Vec<u8> {
    let mut ok = OkPacket {
        status: Status::AUTOCOMMIT,
        ..OkPacket::default()
    };
    let mut changes = Vec::new();
    let mut fields = fields.iter();
    while let Some(field) = fields.next() {
        match field {
            Field::Text(info) => ok.info = info,
            Field::Word(word) => match (word.split_once('='), word.as_str()) {
                (Some(("rows", value)), _) => ok.affected_rows = value.parse().unwrap(),
                (Some(("id", value)), _) => ok.last_insert_id = value.parse().unwrap(),
                (Some(("warnings", value)), _) => ok.warnings = value.parse().unwrap(),
                (_, "manual") => ok.status = ok.status.without(Status::AUTOCOMMIT),
                (_, "changed") => Change::StateChange(b"1").write(&mut changes),
                (_, "schema") => Change::Schema(text(fields.next())).write(&mut changes),
                (_, "variable") => {
                    let (name, value) = (text(fields.next()), text(fields.next()));
                    Change::SystemVariable { name, value }.write(&mut changes);
                }
                (_, flag) => {
                    let known = FLAGS.iter().find(|(name, _)| *name == flag);
                    let (_, flag) = known.unwrap_or_else(|| panic!("no flag {flag}"));
                    ok.status = ok.status | *flag;
                }
            },
        }
    }
    let tracks = terms.capabilities.has(Capabilities::SESSION_TRACK);
    assert!(tracks || changes.is_empty(), "nobody asked for changes");
    let ok = ok.with_changes(&changes);
    let mut out = Vec::new();
    match ends_rows {
        true => ok.write_end_of_rows(&mut out, 0, terms.capabilities),
        false => ok.write(&mut out, 0, terms.capabilities),
    };
    out.split_off(HEADER_BYTES)
}

fn read_ok(name: &str, payload: &[u8], terms: &Terms) -> Option<Line> {
    let is_short = payload.len() == 5;
    let ok = if is_short {
        let mut fields = Fields(&payload[1..]);
        OkPacket {
            warnings: fields.u16().ok()?,
            status: Status(fields.u16().ok()?),
            ..OkPacket::default()
        }
    } else {
        OkPacket::read(payload, terms.capabilities).ok()?
    };
    let mut fields = Vec::new();
    let numbers = [
        ("rows", ok.affected_rows),
        ("id", ok.last_insert_id),
        ("warnings", ok.warnings.into()),
    ];
    for (name, value) in numbers.iter().filter(|(_, value)| *value > 0) {
        fields.push(Field::Word(format!("{name}={value}")));
    }
    if !ok.status.has(Status::AUTOCOMMIT) {
        fields.push(Field::Word("manual".into()));
    }
    for (name, _) in FLAGS.iter().filter(|(_, flag)| ok.status.has(*flag)) {
        fields.push(Field::Word((*name).into()));
    }
    if !ok.info.is_empty() {
        fields.push(Field::Text(ok.info.to_vec()));
    }
    for change in ok.changes() {
        match change.ok()? {
            Change::StateChange(_) => fields.push(Field::Word("changed".into())),
            Change::Schema(name) => {
                fields.push(Field::Word("schema".into()));
                fields.push(Field::Text(name.to_vec()));
            }
            Change::SystemVariable { name, value } => {
                fields.push(Field::Word("variable".into()));
                fields.push(Field::Text(name.to_vec()));
                fields.push(Field::Text(value.to_vec()));
            }
            _ => return None,
        }
    }
    Some(line(name, fields))
}

fn read_reply(payload: &[u8], place: Place, terms: &Terms) -> Option<Line> {
    let first = *payload.first()?;
    if first == 0xff {
        let error = ErrorPacket::read(payload).ok()?;
        let state = String::from_utf8(error.state?.to_vec()).ok()?;
        let mut line = words("Error", &[error.code.to_string(), state]);
        line.fields.push(Field::Text(error.message.to_vec()));
        return Some(line);
    }
    match place {
        Place::Text => Some(line("Text", vec![Field::Text(payload.to_vec())])),
        Place::Prepared => {
            let prepared = PrepareOk::read(payload, terms.capabilities).ok()?;
            let numbers = [
                prepared.statement.to_string(),
                prepared.columns.to_string(),
                prepared.parameters.to_string(),
            ];
            Some(words("Prepared", &numbers))
        }
        Place::First | Place::Login if first == 0 => read_ok("Ok", payload, terms),
        Place::First | Place::Login if first == 0xfe && payload.len() == 5 => {
            read_ok("Eof", payload, terms)
        }
        Place::First if first == 0xfb => {
            Some(line("LocalFile", vec![Field::Text(payload[1..].to_vec())]))
        }
        Place::First | Place::Login => {
            let count = Fields(payload).number().ok()?;
            Some(words("Columns", &[count.to_string()]))
        }
        Place::Column | Place::List if first != 0xfe => {
            let column = ColumnDefinition::read(payload, terms.capabilities).ok()?;
            Some(line("Column", vec![Field::Text(column.name.to_vec())]))
        }
        Place::ColumnsEnd => {
            let read = read_ok("ColumnsEnd", payload, terms)?;
            let opens = |field: &Field| matches!(field, Field::Word(word) if word == "cursor");
            // Rows that are not sent along end there.
            let name = if read.fields.iter().any(opens) {
                "End"
            } else {
                "ColumnsEnd"
            };
            Some(line(name, read.fields))
        }
        _ if first == 0xfe && payload.len() < 0xff_ffff => read_ok("End", payload, terms),
        _ => {
            let mut rest = Fields(payload);
            let mut fields = Vec::new();
            while !rest.is_empty() {
                fields.push(match rest.0[0] {
                    0xfb => {
                        rest.byte().ok()?;
                        Field::Word("NULL".into())
                    }
                    _ => Field::Text(rest.counted().ok()?.to_vec()),
                });
            }
            Some(line("Row", fields))
        }
    }
}

/// What is said before a login has ended; nonces are not shown.
fn of_login(payload: &[u8]) -> Option<Line> {
    match *payload.first()? {
        10 => {
            let greeting = Greeting::read(payload).ok()?;
            let mut line = line("Greeting", Vec::new());
            line.fields.push(Field::Text(greeting.version.to_vec()));
            line.fields.push(Field::Text(greeting.plugin.to_vec()));
            Some(line)
        }
        0xfe => {
            let mut fields = Fields(&payload[1..]);
            let plugin = fields.string().ok()?;
            Some(line("AuthSwitch", vec![Field::Text(plugin.to_vec())]))
        }
        1 => Some(line("AuthMore", vec![Field::Text(payload[1..].to_vec())])),
        _ => None,
    }
}

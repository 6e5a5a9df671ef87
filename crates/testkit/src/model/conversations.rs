//! The model server's rules, one short conversation each: what is sent, and the replies in one line.
//!
//! These are the traps a proxy must get right. All but those about connection limits, protocol versions and several
//! clients in one transaction have been replayed against PostgreSQL 18.6 with the same answers.

use super::frontend::Named::{Portal, Statement};
use super::{Backend, ConnectionId, Frontend, Next, Server, ServerConfig, User, split_frame};

#[test]
fn a_rolled_back_set_is_announced_again_before_ready() {
    let mut talk = Talk::new();
    assert_eq!(
        talk.query("BEGIN; SET application_name = 'a'"),
        "C:BEGIN C:SET S:application_name=a Z:T"
    );
    assert_eq!(talk.query("ROLLBACK"), "C:ROLLBACK S:application_name= Z:I");
}

#[test]
fn a_set_that_fails_with_its_query_is_never_announced() {
    let mut talk = Talk::new();
    assert_eq!(
        talk.query("SET application_name = 'a'; SELECT fail('22012')"),
        "C:SET T E:22012 Z:I"
    );
    assert_eq!(talk.query("SHOW application_name"), "T D: C:SHOW Z:I");
}

#[test]
fn rolling_back_to_a_savepoint_reverts_only_what_came_after_it() {
    let mut talk = Talk::new();
    talk.query("BEGIN; SET work_mem = '8MB'; SAVEPOINT a; SET work_mem = '16MB'; SET jit = off");
    talk.query("ROLLBACK TO a; COMMIT");
    assert_eq!(
        talk.query("SHOW work_mem; SHOW jit"),
        "T D:8MB C:SHOW T D:on C:SHOW Z:I"
    );
}

#[test]
fn commit_and_chain_keeps_the_set_and_stays_in_a_transaction() {
    let mut talk = Talk::new();
    assert_eq!(talk.query("BEGIN; SET jit = off"), "C:BEGIN C:SET Z:T");
    assert_eq!(talk.query("COMMIT AND CHAIN"), "C:COMMIT Z:T");
    assert_eq!(talk.query("ROLLBACK"), "C:ROLLBACK Z:I");
    assert_eq!(talk.query("SHOW jit"), "T D:off C:SHOW Z:I");
}

#[test]
fn committing_a_failed_transaction_rolls_it_back() {
    let mut talk = Talk::new();
    talk.query("BEGIN; INSERT INTO log VALUES ('c1', 1)");
    assert_eq!(talk.query("SELECT fail('22012')"), "T E:22012 Z:E");
    assert_eq!(talk.query("SELECT 1"), "E:25P02 Z:E");
    assert_eq!(talk.query("COMMIT"), "C:ROLLBACK Z:I");
    assert!(talk.server.committed("c1").is_empty());
}

#[test]
fn reset_leads_back_to_the_startup_packet_and_not_to_the_default() {
    let mut talk = Talk::with(&[
        ("options", "-c work_mem=8MB"),
        ("TimeZone", "Europe/Berlin"),
    ]);
    talk.query("SET work_mem = '64MB'; SET TIME ZONE 'UTC'");
    assert_eq!(
        talk.query("RESET ALL"),
        "C:RESET S:TimeZone=Europe/Berlin Z:I"
    );
    assert_eq!(talk.query("SHOW work_mem"), "T D:8MB C:SHOW Z:I");
}

#[test]
fn discard_all_resets_the_role_and_reset_all_does_not() {
    let mut talk = Talk::new();
    talk.query("SET ROLE reader; RESET ALL");
    assert_eq!(talk.query("SHOW role"), "T D:reader C:SHOW Z:I");
    talk.query("DISCARD ALL");
    assert_eq!(talk.query("SHOW role"), "T D:none C:SHOW Z:I");
    assert_eq!(
        talk.query("SELECT 1; DISCARD ALL"),
        "T D:1 C:SELECT 1 E:25001 Z:I"
    );
}

#[test]
fn a_read_only_default_waits_for_the_next_transaction() {
    let mut talk = Talk::new();
    let both = "SET default_transaction_read_only = on; INSERT INTO log VALUES ('c1', 1)";
    assert_eq!(
        talk.query(both),
        "C:SET C:INSERT 0 1 S:default_transaction_read_only=on Z:I"
    );
    assert_eq!(
        talk.query("INSERT INTO log VALUES ('c1', 2)"),
        "E:25006 Z:I"
    );
}

#[test]
fn names_of_statements_are_taken_once_and_survive_rollback() {
    let mut talk = Talk::new();
    talk.query("BEGIN");
    assert_eq!(
        talk.send(&[parse("s", "SELECT 1"), Frontend::Sync]),
        "1 Z:T"
    );
    talk.query("ROLLBACK");
    assert_eq!(
        talk.send(&[parse("s", "SELECT 2"), Frontend::Sync]),
        "E:42P05 Z:I"
    );
    assert_eq!(
        talk.send(&[bind("", "s"), execute("", 0), Frontend::Sync]),
        "2 D:1 C:SELECT 1 Z:I"
    );
    assert_eq!(
        talk.send(&[bind("", "nobody"), Frontend::Sync]),
        "E:26000 Z:I"
    );
    assert_eq!(
        talk.send(&[close(Statement, "nobody"), Frontend::Sync]),
        "3 Z:I"
    );
}

#[test]
fn the_unnamed_statement_lives_until_the_next_query() {
    let mut talk = Talk::new();
    talk.send(&[parse("", "SELECT 1"), Frontend::Sync]);
    let run = [bind("", ""), execute("", 0), Frontend::Sync];
    assert_eq!(talk.send(&run), "2 D:1 C:SELECT 1 Z:I");
    talk.query("SELECT 2");
    assert_eq!(talk.send(&run), "E:26000 Z:I");
}

#[test]
fn an_error_skips_to_sync_and_nothing_else_ends_the_skipping() {
    let mut talk = Talk::new();
    let query = Frontend::Query("SELECT 1".into());
    let messages = [
        parse("", "NONSENSE"),
        bind("", ""),
        query,
        Frontend::Flush,
        Frontend::Sync,
    ];
    assert_eq!(talk.send(&messages), "E:42601 Z:I");
}

#[test]
fn portals_are_read_in_parts_and_end_with_their_transaction() {
    let mut talk = Talk::new();
    let open = [
        parse("", "SELECT generate(3, 1, 't')"),
        bind("p", ""),
        execute("p", 2),
    ];
    assert_eq!(talk.send(&open), "", "nothing leaves before Flush or Sync");
    assert_eq!(talk.send(&[Frontend::Flush]), "1 2 D:t:1: D:t:2: s");
    assert_eq!(
        talk.send(&[execute("p", 2), Frontend::Sync]),
        "D:t:3: C:SELECT 1 Z:I"
    );
    assert_eq!(talk.send(&[execute("p", 0), Frontend::Sync]), "E:34000 Z:I");
    let missing = Frontend::Describe {
        what: Portal,
        name: "p".into(),
    };
    assert_eq!(talk.send(&[missing, Frontend::Sync]), "E:34000 Z:I");
}

#[test]
fn sync_during_copy_is_ignored_and_stray_copy_data_too() {
    let mut talk = Talk::new();
    let copy = [
        parse("", "COPY log FROM STDIN"),
        bind("", ""),
        execute("", 0),
        Frontend::Sync,
    ];
    assert_eq!(talk.send(&copy), "1 2 G");
    let data = Frontend::CopyData(b"c1\t1\nc1\t2\n".to_vec());
    assert_eq!(
        talk.send(&[data.clone(), Frontend::CopyDone, Frontend::Sync]),
        "C:COPY 2 Z:I"
    );
    assert_eq!(talk.send(&[data, Frontend::CopyDone]), "");
    assert_eq!(talk.server.committed("c1"), [1, 2]);
}

#[test]
fn a_failed_copy_answers_at_once_in_the_simple_protocol() {
    let mut talk = Talk::new();
    assert_eq!(talk.query("COPY log FROM STDIN"), "G");
    assert_eq!(talk.send(&[Frontend::CopyFail("no".into())]), "E:57014 Z:I");
}

#[test]
fn outside_a_transaction_its_statements_warn() {
    let mut talk = Talk::new();
    assert_eq!(talk.query("COMMIT"), "N:25P01 C:COMMIT Z:I");
    assert_eq!(talk.query("SET LOCAL jit = off"), "N:25P01 C:SET Z:I");
    assert_eq!(talk.query("SAVEPOINT a"), "E:25P01 Z:I");
    assert_eq!(
        talk.query("BEGIN; BEGIN; ROLLBACK"),
        "C:BEGIN N:25001 C:BEGIN C:ROLLBACK Z:I"
    );
}

#[test]
fn listening_starts_at_commit() {
    let mut talk = Talk::new();
    talk.query("BEGIN; LISTEN news");
    assert!(
        talk.server
            .whoami(talk.id)
            .expect("logged in")
            .ends_with("listens=[]")
    );
    talk.query("COMMIT");
    assert!(
        talk.server
            .whoami(talk.id)
            .expect("logged in")
            .ends_with("listens=[news]")
    );
}

#[test]
fn a_cancel_stops_a_running_statement_and_nothing_later() {
    let mut talk = Talk::new();
    assert_eq!(talk.query("SELECT pg_sleep(9)"), "");
    talk.cancel(false);
    assert_eq!(
        talk.server.pending_cancels(),
        [],
        "a wrong key names nobody"
    );
    talk.cancel(true);
    let mut out = Vec::new();
    assert_eq!(talk.server.deliver_cancel(talk.id, &mut out), Next::Open);
    assert_eq!(summary(&out), "T E:57014 Z:I");
    talk.cancel(true);
    assert_eq!(
        talk.server.deliver_cancel(talk.id, &mut Vec::new()),
        Next::Open
    );
    assert_eq!(talk.query("SELECT 1"), "T D:1 C:SELECT 1 Z:I");
}

#[test]
fn a_lock_is_waited_for_until_its_holder_lets_go() {
    let mut talk = Talk::new();
    talk.query("SELECT pg_advisory_lock(7)");
    let second = talk.another();
    assert_eq!(talk.query_on(second, "SELECT pg_advisory_lock(7)"), "");
    let (_, wait) = talk.server.waits()[0];
    assert!(!talk.server.may_finish(wait));
    talk.server.on_disconnect(talk.id);
    assert!(talk.server.may_finish(wait));
    let mut out = Vec::new();
    assert_eq!(talk.server.finish(second, &mut out), Next::Open);
    assert_eq!(summary(&out), "T D: C:SELECT 1 Z:I");
}

#[test]
fn a_transaction_with_two_clients_in_it_is_noticed() {
    let mut talk = Talk::new();
    talk.query("BEGIN; SELECT 'c1.1'");
    talk.query("SELECT 'c2.1'; COMMIT");
    assert_eq!(talk.server.mixed().len(), 1);
}

#[test]
fn disconnecting_rolls_back_and_frees_the_slot() {
    let mut talk = Talk::new();
    talk.query("BEGIN; INSERT INTO log VALUES ('c1', 1)");
    assert_eq!(talk.server.connections(), 1);
    talk.server.on_disconnect(talk.id);
    assert_eq!(
        (talk.server.connections(), talk.server.commits().len()),
        (0, 0)
    );
}

#[test]
fn connections_beyond_the_limit_and_reserved_ones_are_refused() {
    let config = ServerConfig {
        max_connections: 2,
        superuser_reserved_connections: 1,
        ..config()
    };
    let mut server = Server::new(config);
    let mut login = |user: &str| {
        let id = server.accept();
        let mut out = Vec::new();
        let next = server.on_bytes(id, &startup(3 << 16, &[("user", user)]), &mut out);
        (next, summary(&out))
    };
    assert_eq!(login("app").0, Next::Open);
    assert_eq!(login("app"), (Next::Close, "E:53300".into()));
    assert_eq!(login("boss").0, Next::Open);
    assert_eq!(login("boss"), (Next::Close, "E:53300".into()));
}

#[test]
fn newer_protocols_are_negotiated_down_and_older_ones_refused() {
    let mut server = Server::new(config());
    let mut login = |version: u32| {
        let id = server.accept();
        let mut out = Vec::new();
        let _ = server.on_bytes(id, &startup(version, &[("user", "app")]), &mut out);
        out
    };
    let key = |out: &[u8]| {
        messages(out).into_iter().find_map(|message| match message {
            Backend::BackendKeyData { key, .. } => Some(key.len()),
            _ => None,
        })
    };
    assert_eq!(key(&login(3 << 16)), Some(4));
    assert_eq!(key(&login((3 << 16) | 2)), Some(32));
    assert!(matches!(
        messages(&login((3 << 16) | 9))[0],
        Backend::NegotiateProtocolVersion { minor: 2, .. }
    ));
    assert_eq!(summary(&login(2 << 16)), "E:0A000");
}

#[test]
fn hostile_bytes_end_the_connection_or_get_a_name() {
    for (bytes, answer) in [
        (&b"Q\0\0\0\x01"[..], ""),
        (&b"Q\x7f\xff\xff\xff"[..], ""),
        (&b"?\0\0\0\x04"[..], "E:08P01"),
    ] {
        let mut talk = Talk::new();
        let mut out = Vec::new();
        assert_eq!(talk.server.on_bytes(talk.id, bytes, &mut out), Next::Close);
        assert_eq!(summary(&out), answer);
    }
    let mut talk = Talk::new();
    let mut out = Vec::new();
    assert_eq!(
        talk.server
            .on_bytes(talk.id, b"B\0\0\0\x05\0S\0\0\0\x04", &mut out),
        Next::Open
    );
    assert_eq!(summary(&out), "E:08P01 Z:I");
}

/// One logged-in connection.
struct Talk {
    server: Server,
    id: ConnectionId,
    pid: u32,
    key: Vec<u8>,
}

impl Talk {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let mut server = Server::new(config());
        let id = server.accept();
        let mut out = Vec::new();
        let parameters = [&[("user", "app")], settings].concat();
        assert_eq!(
            server.on_bytes(id, &startup(3 << 16, &parameters), &mut out),
            Next::Open
        );
        let key = messages(&out)
            .into_iter()
            .find_map(|message| match message {
                Backend::BackendKeyData { pid, key } => Some((pid, key)),
                _ => None,
            });
        let (pid, key) = key.expect("the greeting has a key");
        Self {
            server,
            id,
            pid,
            key,
        }
    }

    fn another(&mut self) -> ConnectionId {
        let id = self.server.accept();
        let packet = startup(3 << 16, &[("user", "app")]);
        assert_eq!(
            self.server.on_bytes(id, &packet, &mut Vec::new()),
            Next::Open
        );
        id
    }

    fn query(&mut self, text: &str) -> String {
        self.query_on(self.id, text)
    }

    fn query_on(&mut self, id: ConnectionId, text: &str) -> String {
        self.send_on(id, &[Frontend::Query(text.into())])
    }

    fn send(&mut self, messages: &[Frontend]) -> String {
        self.send_on(self.id, messages)
    }

    fn send_on(&mut self, id: ConnectionId, messages: &[Frontend]) -> String {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        messages
            .iter()
            .for_each(|message| message.encode(&mut bytes));
        assert_eq!(self.server.on_bytes(id, &bytes, &mut out), Next::Open);
        summary(&out)
    }

    fn cancel(&mut self, right: bool) {
        let mut key = self.key.clone();
        key[0] ^= u8::from(!right);
        let body = [
            &(1234u32 << 16 | 5678).to_be_bytes()[..],
            &self.pid.to_be_bytes(),
            &key,
        ]
        .concat();
        let id = self.server.accept();
        let next = self.server.on_bytes(id, &sized(&body), &mut Vec::new());
        assert_eq!(next, Next::Close);
    }
}

fn config() -> ServerConfig {
    let user = |name: &str, superuser| User {
        name: name.into(),
        superuser,
        member_of: vec!["reader".into()],
        ..User::default()
    };
    let users = vec![
        user("app", false),
        user("boss", true),
        user("reader", false),
    ];
    ServerConfig {
        users,
        ..ServerConfig::default()
    }
}

fn sized(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(format!("{name}\0{value}\0").bytes());
    }
    body.push(0);
    sized(&body)
}

fn parse(name: &str, text: &str) -> Frontend {
    Frontend::Parse {
        name: name.into(),
        text: text.into(),
        types: Vec::new(),
    }
}

fn bind(portal: &str, statement: &str) -> Frontend {
    Frontend::Bind {
        portal: portal.into(),
        statement: statement.into(),
        formats: Vec::new(),
        params: Vec::new(),
        results: Vec::new(),
    }
}

fn execute(portal: &str, rows: i32) -> Frontend {
    Frontend::Execute {
        portal: portal.into(),
        rows,
    }
}

fn close(what: super::Named, name: &str) -> Frontend {
    Frontend::Close {
        what,
        name: name.into(),
    }
}

fn messages(mut bytes: &[u8]) -> Vec<Backend> {
    let mut found = Vec::new();
    while let Some(frame) = split_frame(bytes, 1 << 20).expect("well-formed replies") {
        found.push(Backend::decode(frame.kind, frame.body).expect("known replies"));
        bytes = &bytes[frame.size..];
    }
    found
}

/// Replies in one line: the type byte, and what matters of the body.
fn summary(bytes: &[u8]) -> String {
    let words: Vec<String> = messages(bytes).iter().map(word).collect();
    words.join(" ")
}

fn word(message: &Backend) -> String {
    match message {
        Backend::ParameterStatus { name, value } => format!("S:{name}={value}"),
        Backend::ReadyForQuery(status) => format!("Z:{}", char::from(*status)),
        Backend::CommandComplete(tag) => format!("C:{tag}"),
        Backend::ErrorResponse(error) => format!("E:{}", error.code),
        Backend::NoticeResponse(notice) => format!("N:{}", notice.code),
        Backend::DataRow(values) => {
            let text = |value: &Option<Vec<u8>>| {
                value
                    .as_ref()
                    .map_or("NULL".into(), |v| String::from_utf8_lossy(v).into_owned())
            };
            format!(
                "D:{}",
                values.iter().map(text).collect::<Vec<_>>().join(",")
            )
        }
        other => {
            let mut bytes = Vec::new();
            other.encode(&mut bytes);
            char::from(bytes[0]).to_string()
        }
    }
}

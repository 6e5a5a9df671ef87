//! Every way to set something, and what to say to another backend to have it so there.

use super::*;

fn sql(value: &str) -> SetValue {
    SetValue::Sql(value.to_owned())
}

fn session(name: &str) -> Target {
    Target::Session(name.to_owned())
}

fn set(assignments: Vec<(Target, SetValue)>) -> Effect {
    let assignments = assignments.into_iter();
    Effect::Set(
        assignments
            .map(|(target, value)| Assignment { target, value })
            .collect(),
    )
}

fn assert_sets(facts: &[Fact], target: Target, value: SetValue, texts: &[&str]) {
    assert_each(&set(vec![(target, value)]), facts, texts);
}

#[test]
fn session_variables_are_set_in_many_forms() {
    assert_sets(
        &[],
        session("sort_buffer_size"),
        sql("100000"),
        &[
            "SET sort_buffer_size = 100000",
            "SET Sort_Buffer_Size := 100000;",
            "SET SESSION sort_buffer_size=100000",
            "SET LOCAL sort_buffer_size=100000",
            "SET @@sort_buffer_size = 100000",
            "SET @@session.sort_buffer_size = 100000",
            "SET @@LOCAL . sort_buffer_size = 100000",
            "SET `sort_buffer_size` = 100000",
            "SET @@`sort_buffer_size` = 100000",
            "SET sort_buffer_size /* a */ = # b\n 100000 -- c",
        ],
    );
    for (text, name, value) in [
        ("SET a = 'it''s'", "a", "'it''s'"),
        ("SET a = \"it's\"", "a", "'it''s'"),
        (r"SET a = 'it\'s'", "a", "'it''s'"),
        ("SET a = ON", "a", "ON"),
        ("SET a = off", "a", "off"),
        ("SET a = TRUE", "a", "TRUE"),
        ("SET a = null", "a", "NULL"),
        ("SET a = utf8mb4", "a", "utf8mb4"),
        ("SET sql_mode = ANSI", "sql_mode", "ANSI"),
        ("SET time_zone = SYSTEM", "time_zone", "SYSTEM"),
        ("SET a = ALL", "a", "ALL"),
        ("SET a = binary", "a", "binary"),
        ("SET a = -1", "a", "-1"),
        ("SET a = + 1.5e3", "a", "+1.5e3"),
        ("SET a = 0x10", "a", "0x10"),
        ("SET a.B = 1", "a.b", "1"),
        ("SET session.a = 1", "session.a", "1"),
        ("SET names = 1", "names", "1"),
        ("SET transaction = 1", "transaction", "1"),
    ] {
        assert_sets(&[], session(name), sql(value), &[text]);
    }
    assert_sets(
        &[],
        session("a"),
        SetValue::Default,
        &["SET a = DEFAULT", "SET @@a = default"],
    );
}

#[test]
fn values_that_only_the_server_knows_are_asked_for() {
    let asked = || SetValue::Asked;
    for (facts, value) in [
        (&[][..], "1 + 1"),
        (&[], "(1)"),
        (&[], "'a' 'b'"),
        (&[], "N'a'"),
        (&[], "_utf8'a'"),
        (&[], "x'41'"),
        (&[], "'é'"),
        (&[], r"'a\\b'"),
        (&[], "CONCAT('a', 'b')"),
        (&[], "CURRENT_USER"),
        (&[], "current_timestamp"),
        (&[], "?"),
        (&[Fact::ReadsSystemVariable], "CONCAT(@@sql_mode, ',ANSI')"),
        (&[Fact::ReadsSystemVariable], "@@session.b"),
        (&[], "@@global.b"),
        (&[Fact::ReadsUserVariable], "@b"),
        (&[Fact::CallsUnknown], "f(1)"),
        (&[Fact::TakesNamedLock], "GET_LOCK('a', 1)"),
        (
            &[Fact::ReadsUserVariable, Fact::WritesUserVariable],
            "(@b := @c)",
        ),
        (&[], "(SELECT MAX(a) FROM t)"),
    ] {
        assert_sets(facts, session("a"), asked(), &[&format!("SET a = {value}")]);
    }
}

#[test]
fn other_scopes_are_told_apart() {
    let global = |name: &str| Target::Global(name.to_owned());
    let persisted = |name: &str| Target::Persisted(name.to_owned());
    let next = |name: &str| Target::NextTransaction(name.to_owned());
    let admin = &[Fact::Administers];
    assert_sets(
        admin,
        global("a"),
        sql("1"),
        &["SET GLOBAL a = 1", "SET @@global.a = 1"],
    );
    assert_sets(
        admin,
        persisted("a"),
        sql("1"),
        &[
            "SET PERSIST a = 1",
            "SET @@persist.a = 1",
            "SET PERSIST_ONLY a = 1",
            "SET @@PERSIST_ONLY.a = 1",
        ],
    );
    let name = "transaction_isolation";
    assert_sets(
        &[],
        next(name),
        sql("'SERIALIZABLE'"),
        &["SET @@transaction_isolation = 'SERIALIZABLE'"],
    );
    assert_sets(
        &[],
        session(name),
        sql("'SERIALIZABLE'"),
        &[
            "SET transaction_isolation = 'SERIALIZABLE'",
            "SET SESSION transaction_isolation = 'SERIALIZABLE'",
            "SET @@session.transaction_isolation = 'SERIALIZABLE'",
        ],
    );
    assert_sets(
        &[],
        next("tx_read_only"),
        sql("1"),
        &["SET @@tx_read_only = 1"],
    );
    // GLOBAL holds for what follows it without a scope.
    assert_each(
        &set(vec![
            (global("a"), sql("1")),
            (session("b"), SetValue::Asked),
        ]),
        admin,
        &["SET GLOBAL a = 1, b = 2"],
    );
    assert_each(
        &set(vec![
            (global("a"), sql("1")),
            (session("b"), sql("2")),
            (session("c"), sql("3")),
        ]),
        admin,
        &["SET GLOBAL a = 1, SESSION b = 2, c = 3"],
    );
    assert_each(
        &set(vec![(global("a"), sql("1")), (session("b"), sql("2"))]),
        admin,
        &["SET @@global.a = 1, b = 2"],
    );
}

#[test]
fn lists_are_read_in_order() {
    let user = |name: &str| Target::User(name.to_owned());
    assert_each(
        &set(vec![
            (session("sql_mode"), SetValue::Asked),
            (session("sql_auto_is_null"), sql("0")),
            (session("wait_timeout"), sql("2147483")),
        ]),
        &[Fact::ReadsSystemVariable],
        &[
            "SET @@SESSION.sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483",
        ],
    );
    assert_each(
        &set(vec![
            (session("autocommit"), sql("1")),
            (Target::Names { collation: None }, sql("utf8mb4")),
            (user("x"), sql("'y'")),
        ]),
        &[Fact::WritesUserVariable],
        &["SET autocommit=1, NAMES utf8mb4, @x='y'"],
    );
    assert_each(
        &set(vec![
            (user("old"), SetValue::Asked),
            (session("sql_mode"), sql("''")),
        ]),
        &[Fact::ReadsSystemVariable, Fact::WritesUserVariable],
        &["SET @OLD = @@SQL_MODE, SQL_MODE = ''"],
    );
}

#[test]
fn user_variables_are_set_to_constants_or_asked_for() {
    let user = Target::User("a.b".to_owned());
    for (value, expected) in [
        ("1", sql("1")),
        ("-1.50", sql("-1.50")),
        ("'x'", sql("'x'")),
        ("NULL", sql("NULL")),
        ("true", sql("TRUE")),
        ("ON", SetValue::Asked),
        ("x'41'", SetValue::Asked),
        ("'é'", SetValue::Asked),
    ] {
        let texts = [
            format!("SET @a.b = {value}"),
            format!("SET @`A.b` := {value}"),
        ];
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert_sets(&[Fact::WritesUserVariable], user.clone(), expected, &texts);
    }
    // What it is called is not certain.
    for text in ["SET @`a b` = 1", "SET @größe = 1"] {
        let statement = one(text, mysql());
        assert!(
            statement.is_opaque() && statement.facts.has(Fact::WritesUserVariable),
            "{text}"
        );
    }
}

#[test]
fn character_sets_have_statements_of_their_own() {
    let names = |collation: Option<&str>| Target::Names {
        collation: collation.map(str::to_owned),
    };
    assert_sets(
        &[],
        names(None),
        sql("utf8mb4"),
        &[
            "SET NAMES utf8mb4",
            "set names 'UTF8MB4'",
            "SET NAMES \"utf8mb4\"",
        ],
    );
    assert_sets(
        &[],
        names(Some("utf8mb4_bin")),
        sql("utf8mb4"),
        &[
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'",
        ],
    );
    assert_sets(&[], names(None), SetValue::Default, &["SET NAMES DEFAULT"]);
    assert_sets(&[], names(None), sql("binary"), &["SET NAMES binary"]);
    assert_sets(
        &[],
        Target::CharacterSet,
        sql("latin1"),
        &[
            "SET CHARACTER SET latin1",
            "SET CHARSET 'latin1'",
            "SET CHAR SET latin1",
        ],
    );
    assert_sets(
        &[],
        Target::CharacterSet,
        SetValue::Default,
        &["SET CHARACTER SET DEFAULT"],
    );
}

#[test]
fn transactions_have_characteristics() {
    let characteristics = |scope, isolation, read_only| {
        Effect::SetTransaction(Characteristics {
            scope,
            isolation,
            read_only,
        })
    };
    use TransactionScope::{Global, Next, Session};
    for (text, effect) in [
        (
            "SET TRANSACTION READ ONLY",
            characteristics(Next, None, Some(true)),
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
            characteristics(Next, Some(Isolation::ReadCommitted), Some(false)),
        ),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            characteristics(Session, Some(Isolation::RepeatableRead), None),
        ),
        (
            "set local transaction read only, isolation level serializable",
            characteristics(Session, Some(Isolation::Serializable), Some(true)),
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            characteristics(Next, Some(Isolation::ReadUncommitted), None),
        ),
    ] {
        assert_each(&effect, &[], &[text]);
    }
    assert_each(
        &characteristics(Global, None, Some(true)),
        &[Fact::Administers],
        &["SET GLOBAL TRANSACTION READ ONLY"],
    );
}

#[test]
fn roles_are_set_by_name() {
    for (text, role) in [
        ("SET ROLE NONE", Role::None),
        ("SET ROLE DEFAULT", Role::Default),
        ("SET ROLE ALL", Role::All),
        ("SET ROLE a", Role::Named("`a`".to_owned())),
        (
            "SET ROLE 'a', `b``c`",
            Role::Named("`a`, `b``c`".to_owned()),
        ),
    ] {
        assert_each(&Effect::SetRole(role), &[], &[text]);
    }
    for dialect in both() {
        assert_opaque(
            dialect,
            &[
                "SET ROLE ALL EXCEPT a",
                "SET ROLE 'a'@'b'",
                "SET ROLE é",
                "SET ROLE",
            ],
        );
    }
    assert_plain(
        &[Fact::ChangesAccounts, Fact::CommitsImplicitly],
        &[
            "SET PASSWORD = 'a'",
            "SET PASSWORD FOR 'a'@'b' = PASSWORD('c')",
            "SET DEFAULT ROLE a TO b",
        ],
    );
}

#[test]
fn a_statement_may_set_for_itself() {
    assert_in(
        mariadb(),
        &Effect::Plain,
        &[Fact::SetsForStatement],
        &[
            "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
            "SET STATEMENT a = SUBSTRING('a' FROM 1 FOR 2), b = 2 FOR (SELECT 1)",
        ],
    );
    assert_in(
        mariadb(),
        &set(vec![(session("b"), sql("2"))]),
        &[Fact::SetsForStatement],
        &["SET STATEMENT a = 1 FOR SET b = 2"],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        &[Fact::Writes, Fact::CallsUnknown, Fact::SetsForStatement],
        &["SET STATEMENT a = 1 FOR INSERT INTO t (a) VALUES (f(1))"],
    );
    assert_opaque(mariadb(), &["SET STATEMENT a = 1"]);
    assert_opaque(mysql(), &["SET STATEMENT a = 1 FOR SELECT 1"]);
}

#[test]
fn what_is_not_understood_is_opaque() {
    for dialect in both() {
        for text in [
            "SET",
            "SET a",
            "SET a 1",
            "SET a =",
            "SET a = 1,",
            "SET = 1",
            "SET a = 1 b",
            "SET TRANSACTION",
            "SET TRANSACTION READ",
            "SET NAMES",
            "SET NAMES utf8mb4 x",
            "SET NAMES 'a b'",
            "SET é = 1",
            "SET @@a.b.c",
            "SET GLOBAL",
            "SET 'a' = 1",
            "SET TRANSACTION READ ONLY x",
            "SET ROLE a b",
            "SET RESOURCE GROUP g",
            "SET @a = 1 SELECT",
            "SET SESSION AUTHORIZATION a",
        ] {
            let statement = one(text, dialect);
            let valued = matches!(&statement.effect, Effect::Set(all) if all.iter().any(|one| one.value == SetValue::Asked));
            assert!(statement.is_opaque() || valued, "{text}: {statement:?}");
        }
    }
    let facts = one("SET nonsense GET_LOCK('a', 1)", mysql()).facts;
    assert!(facts.has(Fact::TakesNamedLock) && facts.has(Fact::SetsUnknown));
}

#[test]
fn what_logins_of_drivers_send_can_all_be_followed() {
    for text in [
        "SET NAMES utf8mb4",
        "SET character_set_results = NULL",
        "SET autocommit=1",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "set session transaction read write",
        "SET SQL_AUTO_IS_NULL = 0",
        "SET time_zone = '+00:00'",
        "SET sql_mode='STRICT_TRANS_TABLES'",
        "SET SESSION group_concat_max_len = 18446744073709551615",
        "SET session_track_system_variables = 'autocommit,time_zone'",
        "SET net_write_timeout=600, net_read_timeout=600",
        "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci'",
        "set autocommit=1, session_track_schema=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')",
        "/*!40101 SET NAMES utf8 */",
        "/*!40103 SET TIME_ZONE='+00:00' */",
    ] {
        for dialect in both() {
            let statement = one(text, dialect);
            assert!(!statement.is_opaque(), "{text}: {statement:?}");
        }
    }
}

use super::difference::{INFALLIBLE, RESET, Replay, difference};
use super::*;
use std::hash::RandomState;

mod bounds;

struct World {
    interner: Interner,
    tracker: Tracker,
}

fn sql(text: &str) -> Value {
    Value::Sql(text.into())
}

fn set(name: &str, text: &str) -> Effect {
    Effect::Set {
        name: name.into(),
        value: SetValue::Sql(text.into()),
    }
}

impl World {
    fn new(baseline: &[(&str, &str)]) -> World {
        let mut interner = Interner::new(RandomState::new());
        let map = baseline
            .iter()
            .map(|(n, v)| ((*n).into(), Value::Literal((*v).into())))
            .collect();
        let tracker = Tracker::new(interner.intern(map));
        World { interner, tracker }
    }

    fn complete(&mut self, effect: Effect, tag: &str) -> &mut World {
        self.tracker
            .on_complete(&effect, tag.as_bytes(), &mut self.interner);
        self
    }

    fn ready(&mut self, status: u8, failed: bool) -> &mut World {
        self.tracker.on_ready(status, failed, &mut self.interner);
        self
    }

    fn committed(&self, name: &str) -> Option<&Value> {
        self.tracker.committed().map().get(name)
    }
}

#[test]
fn a_set_outside_a_transaction_counts_at_the_boundary() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET");
    assert_eq!(world.committed("a"), None);
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
    world.ready(b'I', false);
    assert_eq!(world.committed("a"), Some(&sql("1")));
}

#[test]
fn a_failed_implicit_transaction_undoes_what_it_said_was_set() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET").ready(b'I', true);
    assert_eq!(world.committed("a"), None);
    assert!(!world.tracker.is_pending());
}

#[test]
fn rollback_undoes_and_commit_keeps() {
    let mut world = World::new(&[]);
    world.complete(Effect::Begin, "BEGIN").ready(b'T', false);
    world.complete(set("a", "1"), "SET").ready(b'T', false);
    world
        .complete(Effect::Rollback { chain: false }, "ROLLBACK")
        .ready(b'I', false);
    assert_eq!(world.committed("a"), None);
    world.complete(set("a", "2"), "SET").ready(b'T', false);
    world
        .complete(Effect::Commit { chain: false }, "COMMIT")
        .ready(b'I', false);
    assert_eq!(world.committed("a"), Some(&sql("2")));
}

#[test]
fn a_commit_that_the_server_calls_rollback_undoes() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET").ready(b'E', true);
    world
        .complete(Effect::Commit { chain: false }, "ROLLBACK")
        .ready(b'I', false);
    assert_eq!(world.committed("a"), None);
}

#[test]
fn commit_and_chain_keeps_what_a_later_rollback_must_not_undo() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET").ready(b'T', false);
    world
        .complete(Effect::Commit { chain: true }, "COMMIT")
        .ready(b'T', false);
    world.complete(set("a", "2"), "SET").ready(b'T', false);
    world
        .complete(Effect::Rollback { chain: false }, "ROLLBACK")
        .ready(b'I', false);
    assert_eq!(world.committed("a"), Some(&sql("1")));
}

#[test]
fn savepoints_undo_only_what_came_after_them() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET");
    world.complete(Effect::Savepoint("s".into()), "SAVEPOINT");
    world.complete(set("a", "2"), "SET");
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
    world.complete(set("b", "3"), "SET");
    world.complete(Effect::Release("s".into()), "RELEASE");
    world
        .complete(Effect::Commit { chain: false }, "COMMIT")
        .ready(b'I', false);
    assert_eq!(world.committed("a"), Some(&sql("1")));
    assert_eq!(world.committed("b"), Some(&sql("3")));
}

#[test]
fn a_savepoint_without_any_set_still_counts() {
    let mut world = World::new(&[]);
    world
        .complete(Effect::Savepoint("s".into()), "SAVEPOINT")
        .ready(b'T', false);
    world.complete(set("a", "2"), "SET").ready(b'T', false);
    world
        .complete(Effect::RollbackTo("s".into()), "ROLLBACK")
        .ready(b'T', false);
    world
        .complete(Effect::Commit { chain: false }, "COMMIT")
        .ready(b'I', false);
    assert_eq!(world.committed("a"), None);
}

#[test]
fn names_of_savepoints_can_repeat() {
    let mut world = World::new(&[]);
    world
        .complete(Effect::Savepoint("s".into()), "SAVEPOINT")
        .complete(set("a", "1"), "SET");
    world
        .complete(Effect::Savepoint("s".into()), "SAVEPOINT")
        .complete(set("a", "2"), "SET");
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
    world.complete(Effect::Release("s".into()), "RELEASE");
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert_eq!(world.tracker.current("a"), None);
}

#[test]
fn a_default_for_the_transaction_is_the_startup_messages() {
    let to_default = |name: &str| Effect::SetLocally {
        local: vec![(name.into(), Some(SetValue::Default))],
        session: Vec::new(),
    };
    let restored = |world: &mut World| {
        let restore = world.tracker.take_restore(true, false);
        restore.map(|restore| restore.statements.join(";"))
    };
    let mut world = World::new(&[("a", "base"), ("search_path", "x, y")]);
    assert!(world.tracker.loses_baseline(&to_default("a")));
    assert!(!world.tracker.loses_baseline(&to_default("b")));
    world.complete(to_default("a"), "SET").ready(b'T', false);
    assert!(world.tracker.restores(b"A"));
    assert_eq!(
        restored(&mut world).as_deref(),
        Some("SET LOCAL a TO 'base'")
    );
    assert_eq!(restored(&mut world), None);
    world.complete(to_default("search_path"), "SET");
    let path = "SELECT pg_catalog.set_config('search_path','x, y',true)";
    assert_eq!(restored(&mut world).as_deref(), Some(path));
    // What is set behind it is what counts.
    world
        .complete(to_default("a"), "SET")
        .complete(set("a", "1"), "SET");
    assert_eq!(restored(&mut world), None);
    // Outside a transaction it has no effect.
    world.complete(Effect::Commit { chain: false }, "COMMIT");
    world.complete(to_default("a"), "SET").ready(b'I', false);
    assert_eq!(restored(&mut world), None);
}

#[test]
fn reset_returns_to_the_startup_message_and_says_what_the_backend_lacks() {
    let mut world = World::new(&[("a", "base"), ("b", "base")]);
    world.complete(set("a", "1"), "SET").ready(b'I', false);
    world.complete(Effect::Reset("a".into()), "RESET");
    assert!(world.tracker.restores(b"A") && !world.tracker.restores(b"b"));
    let restored = world.ready(b'I', false).tracker.take_restore(true, false);
    let restored = restored.map(|restore| restore.statements.join(";"));
    assert_eq!(restored.as_deref(), Some("SET a TO 'base'"));
    assert_eq!(world.tracker.take_restore(true, false), None);
    assert_eq!(world.committed("a"), Some(&Value::Literal("base".into())));
    world
        .complete(set("c", "1"), "SET")
        .complete(Effect::ResetAll, "RESET")
        .ready(b'I', false);
    assert_eq!(world.tracker.committed().map().len(), 2);
}

#[test]
fn reset_all_leaves_the_role_and_discard_all_does_not() {
    let mut world = World::new(&[]);
    world
        .complete(set("role", "r"), "SET")
        .complete(set("a", "1"), "SET")
        .ready(b'I', false);
    world.complete(Effect::ResetAll, "RESET").ready(b'I', false);
    assert_eq!(world.committed("role"), Some(&sql("r")));
    assert_eq!(world.committed("a"), None);
    world
        .complete(Effect::DiscardAll, "DISCARD ALL")
        .ready(b'I', false);
    assert_eq!(world.committed("role"), None);
}

fn interned(interner: &mut Interner, pairs: &[(&str, &str)]) -> Arc<Settings> {
    interner.intern(pairs.iter().map(|(n, v)| ((*n).into(), sql(v))).collect())
}

#[test]
fn a_difference_changes_only_what_differs() {
    let mut interner = Interner::new(RandomState::new());
    let from = interned(
        &mut interner,
        &[("a.X", "1"), ("search_path", "x"), ("work_mem", "'1MB'")],
    );
    let to = interned(
        &mut interner,
        &[("search_path", "y, \"Z\""), ("work_mem", "'1MB'")],
    );
    let found = difference(from.map(), to.map(), false).expect("they differ");
    assert_eq!(found.sql, "RESET a.\"X\";SET search_path TO y, \"Z\";");
    assert!(!found.wait);
    assert_eq!(difference(to.map(), to.map(), false), None);
}

#[test]
fn lists_of_names_are_put_together_while_names_are_quoted_as_they_were_when_the_client_set_them() {
    let mut world = World::new(&[]);
    world
        .complete(set("search_path", "S1, \"A b\""), "SET")
        .ready(b'I', false);
    world
        .complete(set("quote_all_identifiers", "'yes'"), "SET")
        .ready(b'I', false);
    world
        .complete(set("temp_tablespaces", "S1, 'it''s', \"a\"\"b\""), "SET")
        .ready(b'I', false);
    let there = world.tracker.committed().map().clone();
    let quoted = Value::Literal("\"s1\", \"it's\", \"a\"\"b\"".into());
    assert_eq!(there.get("temp_tablespaces"), Some(&quoted));
    let found = difference(&Map::new(), &there, false).expect("they differ");
    assert_eq!(
        found.sql,
        "SET search_path TO S1, \"A b\";\
         SELECT pg_catalog.set_config('temp_tablespaces','\"s1\", \"it''s\", \"a\"\"b\"',false);\
         SET quote_all_identifiers TO 'yes';"
    );
    let mut other = there.clone();
    other.insert("search_path".into(), sql("b"));
    let found = difference(&there, &other, false).expect("they differ");
    assert_eq!(
        found.sql,
        "RESET quote_all_identifiers;SET search_path TO b;SET quote_all_identifiers TO 'yes';"
    );
    other.remove("quote_all_identifiers");
    let found = difference(&there, &other, false).expect("they differ");
    assert_eq!(
        found.sql,
        "RESET quote_all_identifiers;SET search_path TO b;"
    );
}

#[test]
fn anothers_time_outs_end_before_what_they_could_end() {
    let mut interner = Interner::new(RandomState::new());
    let from = interned(&mut interner, &[("statement_timeout", "1")]);
    let to = interned(&mut interner, &[("application_name", "x")]);
    let found = difference(from.map(), to.map(), false).expect("they differ");
    assert_eq!(
        found.sql,
        "SET statement_timeout TO 0;RESET statement_timeout;SET application_name TO x;"
    );
    let found = difference(from.map(), to.map(), true).expect("a reset");
    assert!(
        found
            .sql
            .starts_with("SET statement_timeout TO 0;CLOSE ALL;")
    );
    let both = [("application_name", "x"), ("statement_timeout", "1")];
    let to = interned(&mut interner, &both);
    let found = difference(from.map(), to.map(), false).expect("they differ");
    assert_eq!(found.sql, "SET application_name TO x;");
}

#[test]
fn roles_are_left_before_and_taken_after_everything_else_and_waited_for() {
    let mut interner = Interner::new(RandomState::new());
    let from = interned(&mut interner, &[("role", "r")]);
    let to = interned(
        &mut interner,
        &[
            ("role", "q"),
            ("session_authorization", "u"),
            ("work_mem", "1"),
        ],
    );
    let difference = difference(from.map(), to.map(), false).expect("they differ");
    assert_eq!(
        difference.sql,
        "SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;SET work_mem TO 1;\
         SET SESSION AUTHORIZATION u;SET role TO q;"
    );
    assert!(difference.wait);
}

#[test]
fn a_backend_in_doubt_is_reset_whatever_it_is_thought_to_hold() {
    let interner = Interner::new(RandomState::new());
    let empty = interner.empty();
    let difference = difference(empty.map(), empty.map(), true).expect("a reset");
    assert_eq!(difference.sql, RESET);
    assert!(!difference.wait);
}

#[test]
fn the_list_of_infallible_settings_is_sorted_for_its_search() {
    assert!(INFALLIBLE.is_sorted());
}

#[test]
fn what_a_user_may_always_set_again_is_not_waited_for() {
    let mut interner = Interner::new(RandomState::new());
    let empty = interner.empty();
    let mut waits = |name: &str| {
        let to = interned(&mut interner, &[(name, "x")]);
        let found = difference(empty.map(), to.map(), false).expect("they differ");
        found.wait
    };
    for name in ["enable_seqscan", "client_encoding", "lc_time", "geqo_seed"] {
        assert!(!waits(name), "{name}");
    }
    // A superuser may take the right to set it away; what it names may be dropped; it may not be changed any more.
    for name in [
        "deadlock_timeout",
        "default_tablespace",
        "temp_buffers",
        "app.tenant",
    ] {
        assert!(waits(name), "{name}");
    }
}

#[test]
fn what_a_reset_took_is_restored_although_its_transaction_ended_in_the_same_segment() {
    let mut world = World::new(&[("a", "base")]);
    world.complete(Effect::Begin, "BEGIN");
    world.complete(Effect::ResetAll, "RESET");
    world.complete(Effect::Commit { chain: false }, "COMMIT");
    world.ready(b'I', false);
    let restored = world.tracker.take_restore(true, false).expect("committed");
    assert_eq!(restored.statements, ["SET a TO 'base'"]);
    world.complete(Effect::ResetAll, "RESET");
    world.complete(Effect::Rollback { chain: false }, "ROLLBACK");
    assert_eq!(
        world.ready(b'I', false).tracker.take_restore(true, false),
        None
    );
}

#[test]
fn a_reset_undone_by_a_savepoint_has_taken_nothing() {
    let mut world = World::new(&[("a", "base")]);
    world.complete(set("a", "1"), "SET");
    world.complete(Effect::Savepoint("s".into()), "SAVEPOINT");
    world.complete(Effect::Reset("a".into()), "RESET");
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    let restored = world.ready(b'T', false).tracker.take_restore(true, true);
    assert_eq!(restored, None);
    assert_eq!(world.tracker.current("a"), Some(&sql("1")));
}

fn restored_in_transaction(world: &mut World) -> Vec<String> {
    let restored = world.ready(b'T', false).tracker.take_restore(true, true);
    restored.map_or(Vec::new(), |restore| restore.statements)
}

#[test]
fn what_was_set_again_where_it_was_reset_no_rollback_to_a_later_savepoint_takes_away() {
    let mut world = World::new(&[("a", "base")]);
    world.complete(Effect::Begin, "BEGIN");
    world.complete(Effect::ResetAll, "RESET");
    assert_eq!(restored_in_transaction(&mut world), ["SET a TO 'base'"]);
    // Whatever stands over it: the server keeps it.
    world.complete(Effect::Savepoint("s".into()), "SAVEPOINT");
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert!(restored_in_transaction(&mut world).is_empty());
    assert!(!world.tracker.restores_again());
}

#[test]
fn a_default_for_the_transaction_is_given_again_behind_a_rollback_to_the_savepoint_below() {
    let mut world = World::new(&[("a", "base")]);
    let local = vec![("a".into(), Some(SetValue::Default))];
    let session = Vec::new();
    world.complete(Effect::SetLocally { local, session }, "SET");
    world.complete(Effect::Savepoint("s".into()), "SAVEPOINT");
    let given = ["SET LOCAL a TO 'base'"];
    assert_eq!(restored_in_transaction(&mut world), given);
    world.complete(Effect::RollbackTo("s".into()), "ROLLBACK");
    assert_eq!(restored_in_transaction(&mut world), given);
}

#[test]
fn what_is_set_for_the_transaction_behind_a_reset_is_not_set_over() {
    let mut world = World::new(&[("a", "base")]);
    let local = vec![("a".into(), Some(SetValue::Sql("1".into())))];
    let session = Vec::new();
    world.complete(Effect::Reset("a".into()), "RESET");
    world.complete(Effect::SetLocally { local, session }, "SET");
    assert!(restored_in_transaction(&mut world).is_empty());
    world.complete(Effect::Commit { chain: false }, "COMMIT");
    let restored = world.ready(b'I', false).tracker.take_restore(true, false);
    assert_eq!(restored.expect("it shows").statements, ["SET a TO 'base'"]);
}

#[test]
fn what_was_committed_before_a_transaction_is_set_again_behind_its_rollback_only() {
    for (tag, lost) in [("COMMIT", false), ("ROLLBACK", true)] {
        let mut world = World::new(&[("a", "base")]);
        world.complete(Effect::DiscardAll, "DISCARD ALL");
        assert_eq!(restored_in_transaction(&mut world), ["SET a TO 'base'"]);
        assert!(world.tracker.lacks_baseline());
        world.complete(Effect::Commit { chain: false }, tag);
        let restored = world.ready(b'I', false).tracker.take_restore(true, false);
        assert_eq!(restored.is_some(), lost, "{tag}");
    }
}

#[test]
fn a_date_style_does_not_mix_with_the_one_before() {
    let mut interner = Interner::new(RandomState::new());
    let mut style = |text: &str| interner.intern(Map::from([(DATESTYLE.into(), sql(text))]));
    let found =
        difference(style("ISO, YMD").map(), style("ISO").map(), false).expect("they differ");
    assert_eq!(found.sql, "RESET datestyle;SET datestyle TO ISO;");
}

fn reports(date_style: &str) -> Reports {
    vec![(b"DateStyle".as_slice().into(), date_style.as_bytes().into())]
}

#[test]
fn a_date_style_is_what_the_server_made_of_it() {
    let table = [
        ("ymd", "ISO, YMD", Value::Literal("ISO, YMD".into())),
        ("iso", "ISO, YMD", Value::Literal("ISO, YMD".into())),
    ];
    let mut world = World::new(&[]);
    for (set_to, reported, kept) in table {
        world
            .complete(set(DATESTYLE, set_to), "SET")
            .ready(b'I', false);
        let World { tracker, interner } = &mut world;
        tracker.take_reported(&reports(reported), interner);
        assert_eq!(world.committed(DATESTYLE), Some(&kept), "{set_to}");
    }
}

#[test]
fn a_date_style_of_the_startup_message_is_kept_as_it_came() {
    let mut world = World::new(&[(DATESTYLE, "ymd")]);
    let baseline = Value::Literal("ymd".into());
    world
        .complete(set(DATESTYLE, "dmy"), "SET")
        .ready(b'I', false);
    world
        .complete(Effect::Reset(DATESTYLE.into()), "RESET")
        .ready(b'I', false);
    let World { tracker, interner } = &mut world;
    // The server reports its default until the client's own is set again.
    tracker.take_reported(&reports("ISO, MDY"), interner);
    assert_eq!(world.committed(DATESTYLE), Some(&baseline));
}

#[test]
fn discard_all_commits_at_once() {
    let mut world = World::new(&[]);
    world.complete(set("a", "1"), "SET").ready(b'I', false);
    world
        .complete(Effect::DiscardAll, "DISCARD ALL")
        .ready(b'I', true);
    assert_eq!(world.committed("a"), None);
}

fn locally(name: &str, value: Option<&str>) -> Effect {
    let value = value.map(|text| SetValue::Sql(text.into()));
    let (local, session) = (vec![(name.into(), value)], Vec::new());
    Effect::SetLocally { local, session }
}

fn meaning(world: &World, hasher: &RandomState) -> Option<Meaning> {
    world.tracker.meaning(hasher)
}

#[test]
fn what_is_set_for_a_transaction_gives_texts_another_meaning_until_it_ends() {
    let hasher = RandomState::new();
    let mut world = World::new(&[]);
    let before = meaning(&world, &hasher);
    world.complete(locally("datestyle", Some("'DMY'")), "SET");
    let within = meaning(&world, &hasher);
    assert!(before.is_some() && within.is_some() && within != before);
    world.ready(b'T', false);
    assert_eq!(meaning(&world, &hasher), within);
    world.complete(Effect::Commit { chain: true }, "COMMIT");
    assert_eq!(meaning(&world, &hasher), before);
    world.complete(set("datestyle", "'DMY'"), "SET");
    assert_eq!(meaning(&world, &hasher), within);
}

#[test]
fn a_savepoint_gives_back_the_meaning_that_texts_had() {
    let hasher = RandomState::new();
    let mut world = World::new(&[]);
    let before = meaning(&world, &hasher);
    world.complete(Effect::Savepoint("s".into()), "SAVEPOINT");
    world.complete(locally("search_path", Some("a")), "SET");
    let within = meaning(&world, &hasher);
    world.complete(Effect::Savepoint("t".into()), "SAVEPOINT");
    world.complete(locally("search_path", None), "SELECT 1");
    assert_eq!(meaning(&world, &hasher), None);
    world.complete(Effect::RollbackTo("t".into()), "ROLLBACK");
    assert_eq!(meaning(&world, &hasher), within);
    world.complete(Effect::Release("s".into()), "RELEASE");
    assert_eq!(meaning(&world, &hasher), within);
    world.complete(Effect::Rollback { chain: false }, "ROLLBACK");
    assert_eq!(meaning(&world, &hasher), before);
}

#[test]
fn settings_that_give_no_text_a_meaning_leave_it_known() {
    let hasher = RandomState::new();
    let mut world = World::new(&[]);
    let before = meaning(&world, &hasher);
    world.complete(locally("statement_timeout", None), "SELECT 1");
    world.complete(set("work_mem", "'1MB'"), "SET");
    assert_eq!(meaning(&world, &hasher), before);
    world.complete(locally("", None), "SET");
    assert_eq!(meaning(&world, &hasher), None);
}

#[test]
fn reset_all_leaves_the_role_that_was_set_although_the_session_began_with_another() {
    let mut world = World::new(&[("a", "base"), ("role", "r1")]);
    world
        .complete(set("role", "r2"), "SET")
        .complete(Effect::ResetAll, "RESET")
        .ready(b'I', false);
    assert_eq!(world.committed("role"), Some(&sql("r2")));
    let restored = world
        .tracker
        .take_restore(true, false)
        .expect("there is a baseline");
    assert_eq!(restored.statements, ["SET a TO 'base'"]);
    assert!(
        !World::new(&[("role", "r1")])
            .tracker
            .loses_baseline(&Effect::ResetAll)
    );
}

#[test]
fn what_is_reset_a_thousand_times_is_restored_once() {
    let mut world = World::new(&[("a", "1"), ("b", "2")]);
    for _ in 0..1000 {
        world.complete(Effect::ResetAll, "RESET");
        world.complete(Effect::Reset("a".into()), "RESET");
    }
    let restored = world.ready(b'I', false).tracker.take_restore(true, false);
    let restored = restored.expect("there is a baseline");
    assert_eq!(restored.statements, ["SET a TO '1'", "SET b TO '2'"]);
}

#[test]
fn only_lists_of_names_take_a_query_to_be_restored() {
    let mut world = World::new(&[("datestyle", "ISO, DMY"), ("search_path", "a, b")]);
    world.complete(Effect::ResetAll, "RESET").ready(b'I', false);
    let restored = world
        .tracker
        .take_restore(true, false)
        .expect("there is a baseline");
    assert_eq!(
        restored.statements,
        [
            "SET datestyle TO 'ISO, DMY'",
            "SELECT pg_catalog.set_config('search_path','a, b',false)"
        ]
    );
}

fn replay_of(from: &Settings, to: &Settings, there: impl Fn(&mut There<'_>)) -> Vec<String> {
    let mut known = There {
        settings: from,
        in_doubt: false,
        init_query: "",
        reads_utf8: true,
        lacks: &[],
    };
    there(&mut known);
    let Replay { queries, wait, .. } = replay(known, to);
    assert!(wait || known.init_query.is_empty() || queries.len() < 2);
    queries
}

#[test]
fn what_is_not_ascii_is_sent_when_the_backend_reads_utf_8() {
    let mut interner = Interner::new(RandomState::new());
    let sjis = interned(&mut interner, &[("client_encoding", "'SJIS'")]);
    let path = interned(&mut interner, &[("search_path", "'schéma'")]);
    let set = "SET search_path TO 'schéma';";
    let one = replay_of(&sjis, &path, |_| {});
    assert_eq!(one, [format!("RESET client_encoding;{set}")]);
    let two = replay_of(&sjis, &path, |there| there.reads_utf8 = false);
    let utf8 = READ_UTF8.to_owned();
    assert_eq!(two, [utf8.clone(), format!("RESET client_encoding;{set}")]);
    let doubtful = replay_of(&sjis, &path, |there| {
        (there.in_doubt, there.reads_utf8) = (true, false);
    });
    assert_eq!(doubtful, [utf8, format!("{RESET}{set}")]);
}

#[test]
fn a_baseline_that_is_not_ascii_is_restored_whatever_the_client_writes() {
    let mut world = World::new(&[("a.b", "é")]);
    world
        .complete(set("client_encoding", "'SJIS'"), "SET")
        .complete(Effect::Reset("a.b".into()), "RESET")
        .ready(b'I', false);
    let restored = world
        .tracker
        .take_restore(false, false)
        .expect("it has a baseline");
    assert_eq!(
        restored.statements,
        [READ_UTF8, "SET a.b TO 'é'", "SET client_encoding TO 'SJIS'"]
    );
}

#[test]
fn what_the_initialization_query_set_is_set_again_where_something_is_reset() {
    let mut interner = Interner::new(RandomState::new());
    let none = interner.empty();
    let path = interned(&mut interner, &[("search_path", "a")]);
    let jit = interned(&mut interner, &[("jit", "off")]);
    let role = interned(&mut interner, &[("role", "r")]);
    let init = |there: &mut There<'_>| there.init_query = "SET jit TO on";
    let initialized = [RESET, "SET jit TO on"];
    let with = |sql: &str| [initialized[0], initialized[1], sql].map(str::to_owned);
    assert_eq!(replay_of(&none, &path, init), ["SET search_path TO a;"]);
    assert_eq!(replay_of(&path, &none, init), initialized);
    assert_eq!(replay_of(&path, &jit, init), with("SET jit TO off;"));
    assert_eq!(replay_of(&role, &none, init), initialized);
    let doubtful = replay_of(&none, &path, |there| {
        init(there);
        there.in_doubt = true;
    });
    assert_eq!(doubtful, with("SET search_path TO a;"));
    assert!(replay_of(&path, &path, init).is_empty());
}

#[test]
fn with_the_session_user_the_role_is_reset_too() {
    let mut world = World::new(&[("role", "r1")]);
    world.complete(set("session_authorization", "r2"), "SET");
    assert_eq!(world.tracker.current("role"), None);
    world.complete(Effect::Reset("session_authorization".into()), "RESET");
    world.ready(b'I', false);
    assert_eq!(world.committed("role"), Some(&Value::Literal("r1".into())));
    let restored = world
        .tracker
        .take_restore(true, false)
        .expect("it was taken away");
    assert_eq!(restored.statements, ["SET role TO 'r1'"]);
}

fn listen(channel: &str) -> Effect {
    Effect::Listen(channel.to_owned())
}

fn channels(world: &World) -> Vec<String> {
    let channels = world.tracker.channels().iter();
    let text = |channel: &Channel| String::from_utf8(channel.to_vec()).expect("UTF-8");
    channels.map(text).collect()
}

#[test]
fn channels_are_listened_on_from_the_commit_and_not_after_a_rollback() {
    let mut world = World::new(&[]);
    world.complete(listen("a"), "LISTEN");
    assert!(channels(&world).is_empty());
    world.ready(b'I', false);
    assert_eq!(channels(&world), ["a"]);
    world.complete(listen("b"), "LISTEN").ready(b'I', true);
    world.complete(listen("c"), "LISTEN").ready(b'T', false);
    world
        .complete(Effect::Commit { chain: false }, "ROLLBACK")
        .ready(b'I', false);
    assert_eq!(channels(&world), ["a"]);
    world
        .complete(Effect::UnlistenAll, "UNLISTEN")
        .complete(listen("d"), "LISTEN")
        .complete(Effect::Unlisten("x".into()), "UNLISTEN")
        .ready(b'I', false);
    assert_eq!(channels(&world), ["d"]);
    world
        .complete(Effect::Unlisten("d".into()), "UNLISTEN")
        .ready(b'I', false);
    assert!(channels(&world).is_empty());
}

#[test]
fn a_savepoint_undoes_the_listening_behind_it() {
    let mut world = World::new(&[]);
    world
        .complete(listen("a"), "LISTEN")
        .complete(Effect::Savepoint("s".into()), "SAVEPOINT")
        .complete(listen("b"), "LISTEN")
        .complete(Effect::RollbackTo("s".into()), "ROLLBACK")
        .complete(listen("c"), "LISTEN")
        .complete(Effect::Release("s".into()), "RELEASE")
        .complete(Effect::Commit { chain: false }, "COMMIT")
        .ready(b'I', false);
    assert_eq!(channels(&world), ["a", "c"]);
    world
        .complete(Effect::DiscardAll, "DISCARD ALL")
        .ready(b'I', false);
    assert!(channels(&world).is_empty());
}

#[test]
fn channels_are_bounded_in_number() {
    let mut world = World::new(&[]);
    for number in 0..=CHANNELS_MAX {
        world.complete(listen(&number.to_string()), "LISTEN");
    }
    world.ready(b'I', false);
    assert_eq!(world.tracker.channels().len(), CHANNELS_MAX);
    assert!(!world.tracker.has_room_for_channels(1));
}

#[test]
fn custom_settings_that_a_backend_lacks_are_mentioned_and_waited_for() {
    let interner = Interner::new(RandomState::new());
    let empty = interner.empty();
    let there = There {
        settings: &empty,
        in_doubt: false,
        init_query: "",
        reads_utf8: true,
        lacks: &["my.tenant", "my.Second", "user.all"],
    };
    let replay = replay(there, &empty);
    let attempts = [
        "RESET my.tenant",
        "RESET my.\"Second\"",
        "RESET \"user\".\"all\"",
    ];
    assert_eq!(replay.attempts, attempts);
    assert!(replay.wait && replay.queries.is_empty());
}

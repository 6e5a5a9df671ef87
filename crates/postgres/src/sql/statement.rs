//! What one statement does, by its first keyword: transaction control, `SET` and their kin are read to the end, queries
//! and the rest are walked by `scan`. Every function here leaves the lexer behind the statement's `;`.

use forebay_core::PinReason;

use super::Effect;
use super::lexer::{Kind, Lexer, Token};
use super::pins::Pins;
use super::prepared;
use super::reader::Reader;
use super::scan::Scan;
use super::setting;
use super::words::keys;

/// What the statement beginning with `first` does.
pub(super) fn effect(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let effect = if first.kind == Kind::Word {
        by_keyword(lexer, first)
    } else {
        query(lexer, first)
    };
    let doubtful = lexer.take_trouble();
    match effect {
        Effect::Pin(_) | Effect::PinMany(_) => effect,
        Effect::CopyIn => effect,
        Effect::Prepare(_) | Effect::Execute(_) if doubtful => Effect::Pin(PinReason::SqlPrepare),
        _ if doubtful => Effect::Opaque,
        _ => effect,
    }
}

fn by_keyword(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    match lexer.key(first) {
        keys::SELECT => select(lexer, first),
        keys::BEGIN => simple(lexer, Effect::Begin),
        keys::START => start(lexer),
        keys::COMMIT | keys::END => commit(lexer),
        keys::ROLLBACK | keys::ABORT => rollback(lexer),
        keys::SAVEPOINT => savepoint(lexer),
        keys::RELEASE => release(lexer),
        keys::SET => setting::set(lexer),
        keys::RESET => setting::reset(lexer),
        keys::SHOW
        | keys::FETCH
        | keys::MOVE
        | keys::LOCK
        | keys::CHECKPOINT
        | keys::VACUUM
        | keys::ANALYZE
        | keys::ANALYSE => simple(lexer, Effect::Pure),
        keys::WITH | keys::VALUES | keys::TABLE => query(lexer, first),
        keys::INSERT | keys::UPDATE | keys::DELETE | keys::MERGE => written(lexer, first),
        keys::EXPLAIN => explain(lexer),
        keys::COPY => copy(lexer),
        keys::DECLARE => declare(lexer),
        keys::DISCARD => discard(lexer),
        keys::DEALLOCATE => deallocate(lexer),
        keys::PREPARE => prepared::prepare(lexer, first),
        keys::EXECUTE => prepared::execute(lexer, true),
        keys::LISTEN => channel(Reader::new(lexer), Effect::Listen),
        keys::UNLISTEN => unlisten(lexer),
        keys::NOTIFY => simple(lexer, Effect::Notify),
        keys::LOAD => simple(lexer, Effect::Pin(PinReason::LoadLibrary)),
        keys::DO | keys::CALL => defined(lexer, first, Scan::new()),
        keys::CLOSE => simple(lexer, Effect::Close),
        keys::CREATE => create(lexer, first),
        _ => defined(lexer, first, Scan::of_definition()),
    }
}

/// A statement whose effect its first word tells.
pub(super) fn simple(lexer: &mut Lexer<'_>, effect: Effect) -> Effect {
    Reader::new(lexer).skip_statement();
    effect
}

/// The effect if nothing more follows, else opaque: the server will refuse it.
fn at_end_of(mut reader: Reader<'_, '_>, effect: Option<Effect>) -> Effect {
    let complete = reader.at_end();
    reader.skip_statement();
    effect.filter(|_| complete).unwrap_or(Effect::Opaque)
}

/// The effect of pins, or else of what is known besides.
pub(super) fn effect_of(pins: Pins, opaque: bool) -> Effect {
    let mut reasons = pins.reasons();
    match (reasons.next(), reasons.next()) {
        (None, _) if opaque => Effect::Opaque,
        (None, _) => Effect::Pure,
        (Some(reason), None) => Effect::Pin(reason),
        (Some(_), Some(_)) => Effect::PinMany(pins.reasons().collect()),
    }
}

/// `SELECT`: as any query, but for one that does nothing else than call `set_config` with constants.
pub(super) fn select(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let mut scan = Scan::new();
    scan.select(lexer, first);
    if scan.pins == Pins::of(PinReason::SetConfig)
        && !lexer.trouble()
        && let Some(effect) = setting::set_config_targets(&mut lexer.behind(first))
    {
        return effect;
    }
    notifying(
        effect_of(scan.pins, scan.unknown_call || scan.writes),
        &scan,
    )
}

/// The effect of a query that else does nothing and may call `pg_notify`.
pub(super) fn notifying<W>(effect: Effect, scan: &Scan<W>) -> Effect {
    match effect {
        Effect::Pure if scan.notifies => Effect::Notify,
        effect => effect,
    }
}

pub(super) fn query(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let is_query = first.kind == Kind::Open || first.kind == Kind::Word;
    let mut scan = Scan::new();
    scan.statement(lexer, first);
    notifying(
        effect_of(scan.pins, scan.unknown_call || scan.writes || !is_query),
        &scan,
    )
}

/// A statement that writes data.
pub(super) fn written(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let mut scan = Scan::new();
    scan.statement(lexer, first);
    effect_of(scan.pins, true)
}

/// A statement that defines, changes or drops objects, or is not known.
fn defined(lexer: &mut Lexer<'_>, first: Token, mut scan: Scan) -> Effect {
    scan.statement(lexer, first);
    let executed = executed(lexer, first, &scan);
    prepared::executed(lexer, executed, effect_of(scan.pins, true), true)
}

fn start(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    let effect = if reader.takes(keys::TRANSACTION) {
        Effect::Begin
    } else {
        Effect::Opaque
    };
    reader.skip_statement();
    effect
}

/// `AND [NO] CHAIN`, if it comes next; `None` if something else does.
fn chain(reader: &mut Reader<'_, '_>) -> Option<bool> {
    if !reader.takes(keys::AND) {
        return Some(false);
    }
    let no = reader.takes(keys::NO);
    reader.takes(keys::CHAIN).then_some(!no)
}

fn transaction_noise(reader: &mut Reader<'_, '_>) {
    let _ = reader.takes(keys::WORK) || reader.takes(keys::TRANSACTION);
}

/// Ending a prepared transaction belongs to no session.
fn ends_prepared(reader: &mut Reader<'_, '_>) -> bool {
    reader.takes(keys::PREPARED)
}

fn commit(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    if ends_prepared(&mut reader) {
        reader.skip_statement();
        return Effect::Pure;
    }
    transaction_noise(&mut reader);
    let effect = chain(&mut reader).map(|chain| Effect::Commit { chain });
    at_end_of(reader, effect)
}

fn rollback(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    if ends_prepared(&mut reader) {
        reader.skip_statement();
        return Effect::Pure;
    }
    transaction_noise(&mut reader);
    if reader.takes(keys::TO) {
        return named_savepoint(reader, Effect::RollbackTo);
    }
    let effect = chain(&mut reader).map(|chain| Effect::Rollback { chain });
    at_end_of(reader, effect)
}

fn savepoint(lexer: &mut Lexer<'_>) -> Effect {
    named(Reader::new(lexer), Effect::Savepoint)
}

fn release(lexer: &mut Lexer<'_>) -> Effect {
    named_savepoint(Reader::new(lexer), Effect::Release)
}

/// `[SAVEPOINT] name`, where the name may be `savepoint`.
fn named_savepoint(mut reader: Reader<'_, '_>, effect: fn(String) -> Effect) -> Effect {
    if !reader.second().ends_statement() {
        reader.takes(keys::SAVEPOINT);
    }
    named(reader, effect)
}

/// A name and nothing more. One that cannot be read here leaves the session's state unknown for good.
fn named(mut reader: Reader<'_, '_>, effect: fn(String) -> Effect) -> Effect {
    if reader.token.kind == Kind::UnicodeQuoted {
        reader.skip_statement();
        return Effect::Pin(PinReason::UntrackedSetting);
    }
    let effect = reader.name().map(effect);
    at_end_of(reader, effect)
}

/// The name of a channel and nothing more. One that cannot be read here is listened to on its own backend.
fn channel(mut reader: Reader<'_, '_>, effect: fn(String) -> Effect) -> Effect {
    if reader.token.kind == Kind::UnicodeQuoted {
        reader.skip_statement();
        return Effect::Pin(PinReason::Listen);
    }
    let name = reader.name().filter(|name| !name.is_empty());
    at_end_of(reader, name.map(effect))
}

fn unlisten(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    if reader.bytes() != b"*" {
        return channel(reader, Effect::Unlisten);
    }
    reader.advance();
    at_end_of(reader, Some(Effect::UnlistenAll))
}

fn discard(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    let effect = if reader.takes(keys::ALL) {
        Some(Effect::DiscardAll)
    } else if reader.takes(keys::PLANS) {
        Some(Effect::DiscardPlans)
    } else if reader.takes(keys::SEQUENCES) {
        Some(Effect::DiscardSequences)
    } else if reader.takes(keys::TEMP) || reader.takes(keys::TEMPORARY) {
        Some(Effect::DiscardTemp)
    } else {
        None
    };
    at_end_of(reader, effect)
}

/// `DEALLOCATE [PREPARE] {name | ALL}`, where the name may be `prepare`.
fn deallocate(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    if !reader.second().ends_statement() {
        reader.takes(keys::PREPARE);
    }
    if reader.takes(keys::ALL) {
        return at_end_of(reader, Some(Effect::DeallocateAll));
    }
    named(reader, Effect::Deallocate)
}

/// A cursor's query runs when rows are fetched, but always by this session: it counts as run here.
fn declare(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    let mut holdable = false;
    // FOR is reserved, so nothing before the query can be called so.
    while !reader.at_end() && !reader.takes(keys::FOR) {
        holdable |= reader.word() == keys::WITH && reader.second_word() == keys::HOLD;
        reader.advance();
    }
    let first = reader.token;
    let mut scan = Scan::new();
    if holdable {
        scan.pins.add(PinReason::HoldableCursor);
    }
    if first.ends_statement() {
        return effect_of(scan.pins, true);
    }
    scan.statement(lexer, first);
    notifying(
        effect_of(scan.pins, scan.unknown_call || scan.writes),
        &scan,
    )
}

/// With ANALYZE the statement runs; without, it is only planned, which evaluates functions that are declared immutable.
fn explain(lexer: &mut Lexer<'_>) -> Effect {
    let mut reader = Reader::new(lexer);
    let mut runs = false;
    if reader.token.kind == Kind::Open && !begins_query(&reader) {
        while !reader.at_end() && !reader.takes_kind(Kind::Close) {
            // A name in quotes is not read here: it may be ANALYZE as well.
            let quoted = matches!(reader.token.kind, Kind::Quoted | Kind::UnicodeQuoted);
            let analyzes = quoted || is_analyze(reader.word());
            reader.advance();
            // The last one counts (`ExplainQuery`).
            runs = if analyzes { !is_off(&reader) } else { runs };
        }
    } else {
        while is_analyze(reader.word()) || reader.word() == keys::VERBOSE {
            runs |= is_analyze(reader.word());
            reader.advance();
        }
    }
    let (first, word) = (reader.token, reader.word());
    if first.ends_statement() {
        return Effect::Opaque;
    }
    if word == keys::EXECUTE {
        return prepared::execute(lexer, runs);
    }
    if runs {
        explained_and_run(lexer, first, word)
    } else {
        only_planned(lexer, first)
    }
}

/// Whether the value of an option is certain to be no (`defGetBoolean`).
fn is_off(reader: &Reader<'_, '_>) -> bool {
    let word = reader
        .source()
        .get(reader.token.range())
        .unwrap_or_default();
    [&b"false"[..], b"off", b"0"]
        .iter()
        .any(|off| word.eq_ignore_ascii_case(off))
}

fn is_analyze(word: u128) -> bool {
    word == keys::ANALYZE || word == keys::ANALYSE
}

/// Whether the `(` that comes next opens a query rather than a list of options.
fn begins_query(reader: &Reader<'_, '_>) -> bool {
    let second = reader.second_word();
    [keys::SELECT, keys::WITH, keys::VALUES, keys::TABLE].contains(&second)
        || reader.second().kind == Kind::Open
}

fn explained_and_run(lexer: &mut Lexer<'_>, first: Token, word: u128) -> Effect {
    if word == keys::CREATE {
        return create(lexer, first);
    }
    if word == keys::DECLARE {
        return declare(lexer);
    }
    let reads = [keys::SELECT, keys::WITH, keys::VALUES, keys::TABLE].contains(&word);
    if reads || first.kind == Kind::Open {
        query(lexer, first)
    } else {
        written(lexer, first)
    }
}

fn only_planned(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let mut scan = Scan::of_definition();
    scan.statement(lexer, first);
    let doubtful = scan.unknown_call || scan.writes || !scan.pins.is_empty();
    let own = effect_of(Pins::default(), doubtful);
    prepared::executed(lexer, executed(lexer, first, &scan), own, false)
}

/// The name in `CREATE TABLE … AS EXECUTE name`; in other statements `execute` is a name of its own.
fn executed(lexer: &Lexer<'_>, first: Token, scan: &Scan) -> Option<Token> {
    scan.executed.filter(|_| lexer.key(first) == keys::CREATE)
}

/// `COPY {table [(columns)] | (query)} {FROM | TO} …`.
fn copy(lexer: &mut Lexer<'_>) -> Effect {
    let mut scan = Scan::new();
    let first = lexer.next();
    if first.kind == Kind::Open {
        scan.group(lexer, first);
    }
    let mut reader = if first.kind == Kind::Open {
        Reader::new(lexer)
    } else {
        Reader::after(lexer, first)
    };
    // TO and FROM are reserved: no table or column is called so.
    while !reader.at_end() && ![keys::TO, keys::FROM].contains(&reader.word()) {
        reader.advance();
    }
    let reads = reader.takes(keys::TO) && reader.word() != keys::PROGRAM;
    // For the server STDIN and STDOUT are one word (`gram.y`, copy_file_name).
    let from_client =
        !reads && reader.takes(keys::FROM) && [keys::STDIN, keys::STDOUT].contains(&reader.word());
    reader.skip_statement();
    if from_client {
        return Effect::CopyIn;
    }
    notifying(
        effect_of(scan.pins, scan.unknown_call || scan.writes || !reads),
        &scan,
    )
}

/// `CREATE`: temporary objects pin; functions and procedures may have statements inside.
fn create(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let mut ahead = *lexer;
    let mut reader = Reader::new(&mut ahead);
    if reader.takes(keys::OR) {
        reader.takes(keys::REPLACE);
    }
    let _ = reader.takes(keys::LOCAL) || reader.takes(keys::GLOBAL);
    let mut scan = Scan::of_definition();
    if reader.takes(keys::TEMP) || reader.takes(keys::TEMPORARY) {
        scan.pins.add(PinReason::TemporaryObject);
    }
    if reader.takes(keys::FUNCTION) || reader.takes(keys::PROCEDURE) {
        return routine(lexer, first, scan);
    }
    defined(lexer, first, scan)
}

/// The end of a `CREATE FUNCTION` is the first `;` outside brackets and outside `BEGIN ATOMIC … END`, where `CASE … END`
/// nests. Its calls are not run now.
fn routine(lexer: &mut Lexer<'_>, first: Token, mut scan: Scan) -> Effect {
    let mut ahead = *lexer;
    let mut previous = first;
    let mut nesting = 0_usize;
    let mut brackets = 0_usize;
    loop {
        let token = ahead.next();
        // After AS and after a dot any keyword is a name.
        let label = previous.kind == Kind::Dot || ahead.key(previous) == keys::AS;
        match token.kind {
            Kind::End => break,
            Kind::Semicolon if nesting == 0 && brackets == 0 => break,
            Kind::Open => brackets += 1,
            Kind::Close => brackets = brackets.saturating_sub(1),
            Kind::Word if label || brackets > 0 => {}
            Kind::Word
                if ahead.key(token) == keys::ATOMIC && ahead.key(previous) == keys::BEGIN =>
            {
                nesting += 1
            }
            Kind::Word if nesting > 0 && ahead.key(token) == keys::CASE => nesting += 1,
            Kind::Word if nesting > 0 && ahead.key(token) == keys::END => nesting -= 1,
            Kind::Dot if is_temporary(&ahead, previous) => {
                scan.pins.add(PinReason::TemporaryObject)
            }
            _ => {}
        }
        previous = token;
    }
    if nesting > 0 || brackets > 0 {
        ahead.raise_trouble();
    }
    *lexer = ahead;
    effect_of(scan.pins, true)
}

fn is_temporary(lexer: &Lexer<'_>, token: Token) -> bool {
    super::scan::is_temporary_schema(lexer.bytes(token))
}

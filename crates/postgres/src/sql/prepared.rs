//! `PREPARE` and `EXECUTE`: which name a statement has, and what it does when it is run.
//!
//! What EXECUTE does is told by the statement of that name, which only the session knows. Names that cannot be read, or that another
//! client encoding would read otherwise, pin.

use forebay_core::PinReason;

use super::Effect;
use super::constant;
use super::lexer::{Kind, Lexer, Token};
use super::reader::Reader;
use super::scan::Scan;
use super::statement::{effect_of, notifying, query, select, simple, written};
use super::words::keys;

/// A statement that gives a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepares {
    /// The name as the server folds it; ASCII, at most 63 bytes.
    pub name: String,
    /// What running the named statement does.
    pub body: Effect,
    /// Where the whole PREPARE is in the text.
    pub at: std::ops::Range<usize>,
}

/// A statement that runs, or plans, the one of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executes {
    /// The name as the server folds it; ASCII, at most 63 bytes.
    pub name: String,
    /// What it does besides, to evaluate arguments or to make a table.
    pub own: Effect,
    /// Whether the named statement is run; otherwise it is planned only.
    pub runs: bool,
}

impl Executes {
    /// What it does where the named statement does `body`.
    pub fn effect(&self, body: &Effect) -> Effect {
        let body = match body {
            Effect::CopyIn if self.runs => return Effect::CopyIn,
            // What they name is not what the text of this one names.
            body if body.changes_names() || matches!(body, Effect::Execute(_)) => {
                &Effect::Pin(PinReason::SqlPrepare)
            }
            Effect::Listen(_) | Effect::Unlisten(_) | Effect::UnlistenAll => {
                &Effect::Pin(PinReason::Listen)
            }
            Effect::Pure => &Effect::Pure,
            Effect::Notify if !self.runs => &Effect::Pure,
            body if self.runs => body,
            _ => &Effect::Opaque,
        };
        match (&self.own, body) {
            (Effect::Pure, effect) | (effect, Effect::Pure) => effect.clone(),
            (own, body) => both(own, body),
        }
    }
}

/// What two effects come to that are not pure.
fn both(one: &Effect, other: &Effect) -> Effect {
    let mut reasons = reasons(one);
    reasons.extend(self::reasons(other));
    reasons.sort_by_key(|reason| *reason as usize);
    reasons.dedup();
    match reasons.as_slice() {
        [] => Effect::Opaque,
        [reason] => Effect::Pin(*reason),
        _ => Effect::PinMany(reasons),
    }
}

/// Why a session keeps its backend after this, if something else happened in the same statement.
fn reasons(effect: &Effect) -> Vec<PinReason> {
    match effect {
        Effect::Pure | Effect::Opaque | Effect::Notify => Vec::new(),
        Effect::Pin(reason) => vec![*reason],
        Effect::PinMany(reasons) => reasons.clone(),
        _ => vec![PinReason::UntrackedSetting],
    }
}

/// `PREPARE TRANSACTION 'id'`, or a statement, whose name may be `transaction`. `first` is PREPARE.
pub(super) fn prepare(lexer: &mut Lexer<'_>, first: Token) -> Effect {
    let mut ahead = *lexer;
    let name = ahead.next();
    if lexer.key(name) == keys::TRANSACTION && is_text(ahead.next()) {
        return simple(lexer, Effect::PrepareTransaction);
    }
    let mut reader = Reader::new(lexer);
    let name = name_of(reader.source(), reader.token);
    reader.advance();
    skip_types(&mut reader);
    let (Some(name), true) = (name, reader.takes(keys::AS)) else {
        reader.skip_statement();
        return Effect::Pin(PinReason::SqlPrepare);
    };
    let (token, word) = (reader.token, reader.word());
    let body = match word {
        keys::SELECT => select(lexer, token),
        keys::WITH | keys::VALUES | keys::TABLE => query(lexer, token),
        keys::INSERT | keys::UPDATE | keys::DELETE | keys::MERGE => written(lexer, token),
        _ if token.kind == Kind::Open => query(lexer, token),
        _ => {
            reader.skip_statement();
            return Effect::Pin(PinReason::SqlPrepare);
        }
    };
    let at = first.range().start..lexer.at();
    Effect::Prepare(Box::new(Prepares { name, body, at }))
}

fn is_text(token: Token) -> bool {
    matches!(
        token.kind,
        Kind::Text | Kind::EscapedText | Kind::DollarText | Kind::OtherText
    )
}

/// The types of its parameters, which are no calls.
fn skip_types(reader: &mut Reader<'_, '_>) {
    let mut depth = 0_usize;
    while !reader.at_end() {
        match reader.token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ if depth == 0 => return,
            _ => {}
        }
        reader.advance();
    }
}

/// What follows EXECUTE; whether the statement of that name `runs`.
pub(super) fn execute(lexer: &mut Lexer<'_>, runs: bool) -> Effect {
    let mut reader = Reader::new(lexer);
    let name = reader.token;
    reader.advance();
    let arguments = reader.token;
    let mut scan = Scan::new();
    if !arguments.ends_statement() {
        scan.statement(lexer, arguments);
    }
    let own = notifying(
        effect_of(scan.pins, scan.unknown_call || scan.writes),
        &scan,
    );
    executed(lexer, Some(name), own, runs)
}

/// What a statement does that does `own`, and runs or plans the one whose name is this token.
pub(super) fn executed(lexer: &Lexer<'_>, name: Option<Token>, own: Effect, runs: bool) -> Effect {
    let Some(name) = name else {
        return own;
    };
    match name_of(lexer.text(), name) {
        Some(name) => Effect::Execute(Box::new(Executes { name, own, runs })),
        None => both(&own, &Effect::Pin(PinReason::SqlPrepare)),
    }
}

/// The name that is the same in every client encoding.
fn name_of(text: &[u8], token: Token) -> Option<String> {
    constant::name(text, token).filter(|name| name.is_ascii())
}

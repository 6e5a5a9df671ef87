//! Why each statement of a text is taken for what it is: the effect that `classify` sees, and the words that decided. For
//! people and tests; no query on its way comes through here.

use std::ops::Range;

use memchr::memchr;

use super::fingerprint::{Fingerprint, fingerprint, normalized};
use super::lexer::{Kind, Lexer, TEXT_BYTES_MAX, Token};
use super::scan::Scan;
use super::watch::What;
use super::words::keys;
use super::{Effect, statement};

/// One statement, and why it is taken for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where it stands in the text, without its semicolon.
    pub range: Range<usize>,
    /// What it does to its session.
    pub effect: Effect,
    /// What decided, in the order of the text; nothing if it is harmless.
    pub findings: Vec<Finding>,
    /// Of this statement alone.
    pub fingerprint: Fingerprint,
    /// Of this statement alone; no constants are in it.
    pub normalized: String,
}

/// Something that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub what: What,
    /// Names and keywords, written as in `normalized`; never a constant.
    pub written: String,
}

/// What each statement of `sql` does and why: the effects that `classify` gives, those that are pure included. Texts are
/// shown in `shown_bytes_max` bytes at most.
pub fn explain(
    sql: &[u8],
    standard_conforming_strings: bool,
    shown_bytes_max: usize,
) -> Vec<Explained> {
    let of = Explainer {
        sql,
        standard_conforming_strings,
        shown_bytes_max,
    };
    if sql.len() > TEXT_BYTES_MAX || memchr(0, sql).is_some() {
        return vec![of.statement(0..sql.len(), Effect::Opaque)];
    }
    let mut lexer = Lexer::new(sql, standard_conforming_strings);
    let mut explained = Vec::new();
    loop {
        let first = lexer.next();
        match first.kind {
            Kind::Semicolon => continue,
            Kind::End if !lexer.trouble() => return explained,
            _ => {}
        }
        let start = first.range().start;
        let effect = statement::effect(&mut lexer, first);
        let ended = sql[..lexer.at()].ends_with(b";");
        let end = lexer.at() - usize::from(ended && lexer.at() > start);
        explained.push(of.statement(start.min(end)..end, effect));
    }
}

struct Explainer<'a> {
    sql: &'a [u8],
    standard_conforming_strings: bool,
    shown_bytes_max: usize,
}

impl Explainer<'_> {
    fn statement(&self, range: Range<usize>, effect: Effect) -> Explained {
        let sql = &self.sql[range.clone()];
        let conforming = self.standard_conforming_strings;
        Explained {
            range,
            findings: self.findings(sql, &effect),
            fingerprint: fingerprint(sql, conforming),
            normalized: normalized(sql, conforming, self.shown_bytes_max),
            effect,
        }
    }

    fn findings(&self, sql: &[u8], effect: &Effect) -> Vec<Finding> {
        let effect = told_by_text(effect);
        if !wants_reason(effect) {
            return Vec::new();
        }
        if sql.len() > TEXT_BYTES_MAX {
            return vec![finding(What::Unreadable, "")];
        }
        let mut lexer = Lexer::new(sql, self.standard_conforming_strings);
        let first = lexer.next();
        let keyword = keyword(&lexer, first);
        let query = begin(&mut lexer, first);
        let runs = is_query(lexer.key(query)) || query.kind != Kind::Word;
        let mut scan = Scan::watched(Vec::new(), !runs);
        scan.statement(&mut lexer, query);
        let mut findings: Vec<Finding> = Vec::new();
        // What a definition has before brackets is no call, or none yet.
        let counts = |what| runs || matches!(what, What::Pins(_));
        for (what, first, last) in scan.watch.into_iter().filter(|found| counts(found.0)) {
            let written = self.written(sql, first, last);
            let again = |known: &Finding| known.what == what && known.written == written;
            if !findings.iter().any(again) {
                findings.push(finding(what, &written));
            }
        }
        // The brackets of COPY (…) are not seen from within.
        let whole = query.range() == first.range();
        if lexer.trouble() && (whole || findings.is_empty()) {
            findings.push(finding(What::Unreadable, ""));
        }
        add_statement(&mut findings, effect, &keyword);
        findings
    }

    /// What stands there, constants and comments excepted.
    fn written(&self, sql: &[u8], first: Token, last: Token) -> String {
        let range = first.range().start..last.range().end;
        let sql = sql.get(range).unwrap_or_default();
        normalized(sql, self.standard_conforming_strings, self.shown_bytes_max)
    }
}

/// What the text itself tells of an effect that a name stands for, or will.
fn told_by_text(effect: &Effect) -> &Effect {
    match effect {
        Effect::Prepare(prepares) => &prepares.body,
        Effect::Execute(executes) => &executes.own,
        _ => effect,
    }
}

fn wants_reason(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Opaque | Effect::CopyIn | Effect::Pin(_) | Effect::PinMany(_)
    )
}

/// If nothing within the statement tells of what it does, its first word does.
fn add_statement(findings: &mut Vec<Finding>, effect: &Effect, keyword: &str) {
    let told = |what| findings.iter().any(|finding| finding.what == what);
    let untold = match effect {
        Effect::Pin(reason) => !told(What::Pins(*reason)),
        Effect::PinMany(reasons) => reasons.iter().any(|reason| !told(What::Pins(*reason))),
        _ => findings.is_empty(),
    };
    if untold {
        findings.insert(0, finding(What::Statement, keyword));
    }
}

fn finding(what: What, written: &str) -> Finding {
    let written = written.to_owned();
    Finding { what, written }
}

/// The word that tells what kind of statement this is, in capitals.
fn keyword(lexer: &Lexer<'_>, first: Token) -> String {
    match first.kind {
        Kind::Word => String::from_utf8_lossy(lexer.bytes(first)).to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// Where the query begins that EXPLAIN, DECLARE, COPY and PREPARE have in them, or the arguments of EXECUTE.
fn begin(lexer: &mut Lexer<'_>, first: Token) -> Token {
    match lexer.key(first) {
        keys::EXPLAIN | keys::DECLARE | keys::COPY | keys::PREPARE => {}
        keys::EXECUTE => return arguments(lexer).unwrap_or(first),
        _ => return first,
    }
    let mut ahead = *lexer;
    loop {
        let token = ahead.next();
        if lexer.key(first) == keys::EXPLAIN && ahead.key(token) == keys::EXECUTE {
            *lexer = ahead;
            return arguments(lexer).unwrap_or(token);
        }
        if token.ends_statement() {
            return first;
        }
        let word = ahead.key(token);
        if is_query(word) {
            // WITH HOLD is no query.
            let mut next = ahead;
            let second = next.next();
            if word != keys::WITH || next.key(second) != keys::HOLD {
                *lexer = ahead;
                return token;
            }
        }
    }
}

/// What stands behind the name that EXECUTE has.
fn arguments(lexer: &mut Lexer<'_>) -> Option<Token> {
    let mut ahead = *lexer;
    ahead.next();
    let token = ahead.next();
    if token.ends_statement() {
        return None;
    }
    *lexer = ahead;
    Some(token)
}

fn is_query(word: u128) -> bool {
    let reads = matches!(word, keys::SELECT | keys::WITH | keys::VALUES);
    let writes = matches!(
        word,
        keys::INSERT | keys::UPDATE | keys::DELETE | keys::MERGE
    );
    reads || writes
}

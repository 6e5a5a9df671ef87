//! Walks one statement and notes what in it may touch the session: calls of functions outside the harmless list, variables,
//! statements that write, `INTO`. Knows grammar only as far as telling a call from whatever else stands before a `(`.
//!
//! The rule for that: every word before a `(` is a call unless it is reserved, behind `AS`, or the head of a common table
//! expression. Doubt counts as a call of something unknown.

use super::fact::{Fact, Facts};
use super::lexer::{Kind, Lexer, Token};
use super::reader::Reader;
use super::watch::Watch;
use super::words::{self, WordFacts, keys};

/// Lists of common table expressions nested deeper than this are not followed.
const DEPTH_MAX: u32 = 63;

/// What a walk over a statement, or over a part of one, has seen.
pub(super) struct Scan<W> {
    /// The last four tokens, the newest at `(count - 1) % 4`.
    recent: [Token; 4],
    count: usize,
    depth: u32,
    /// One bit for each depth: there a list of common table expressions goes on, where `name (column, …)` is no call.
    with_lists: u64,
    /// Behind INTO, where user variables are given values.
    into: bool,
    pub(super) facts: Facts,
    /// Is told what decides; nothing of it is compiled where nobody asks.
    pub(super) watch: W,
}

impl<W: Watch> Scan<W> {
    /// Before anything is read; `watch` is told what decides.
    pub(super) fn watched(watch: W) -> Self {
        Scan {
            recent: [Token::NONE; 4],
            count: 0,
            depth: 0,
            with_lists: 0,
            into: false,
            facts: Facts::NONE,
            watch,
        }
    }

    /// Walks from the next token through the end of the statement.
    #[inline]
    pub(super) fn rest(&mut self, reader: &mut Reader<'_, '_>) {
        self.until(reader, |_, _, _| false);
    }

    /// Walks an expression up to a comma or the end of the statement.
    pub(super) fn expression(&mut self, reader: &mut Reader<'_, '_>) {
        self.until(reader, |depth, _, token| {
            token.kind == Kind::Comma && depth == 0
        });
    }

    /// Walks up to the end of the statement, or to where `stops` says, which is told how many brackets are open.
    #[inline(always)]
    pub(super) fn until(
        &mut self,
        reader: &mut Reader<'_, '_>,
        stops: impl Fn(u32, &Lexer<'_>, Token) -> bool,
    ) {
        self.count = 0;
        self.depth = 0;
        self.with_lists = 0;
        self.into = false;
        reader.walk(|lexer, first| {
            let mut token = first;
            // A `;` ends a statement wherever it stands.
            while !token.ends_statement() && !stops(self.depth, lexer, token) {
                self.see(lexer, token);
                token = lexer.next();
            }
            if self.depth > 0 {
                lexer.raise_trouble();
            }
            token
        });
    }

    #[inline(always)]
    fn see(&mut self, lexer: &mut Lexer<'_>, token: Token) {
        match token.kind {
            Kind::Word => self.word(lexer, token),
            Kind::Open => self.open(lexer, token),
            Kind::Close => self.close(lexer),
            Kind::User => self.user_variable(lexer, token),
            Kind::System => self.system_variable(lexer, token),
            _ => {}
        }
        if self.into && !matches!(token.kind, Kind::User | Kind::Comma) {
            self.into = lexer.key(token) == keys::INTO;
        }
        self.recent[self.count % 4] = token;
        self.count += 1;
    }

    /// The token `back` places before the one being looked at, 1 to 4.
    #[inline]
    fn before(&self, back: usize) -> Token {
        if back > self.count {
            Token::NONE
        } else {
            self.recent[(self.count - back) % 4]
        }
    }

    /// The `words::key` of that token.
    fn word_before(&self, lexer: &Lexer<'_>, back: usize) -> u128 {
        lexer.key(self.before(back))
    }

    pub(super) fn note(&mut self, fact: Fact, first: Token, last: Token) {
        self.facts.add(fact);
        self.watch.notice(fact, first, last);
    }

    #[inline(always)]
    fn word(&mut self, lexer: &Lexer<'_>, token: Token) {
        let length = token.len();
        if (4..=8).contains(&length) && begins_word_of_interest(lexer.bytes(token)[0]) {
            self.word_of_interest(lexer, token);
        } else if length == COUNTS.len() && lexer.bytes(token).eq_ignore_ascii_case(COUNTS) {
            self.note(Fact::CountsFoundRows, token, token);
        }
    }

    #[inline(never)]
    fn word_of_interest(&mut self, lexer: &Lexer<'_>, token: Token) {
        if self.before(1).kind == Kind::Dot {
            return self.member(lexer, token);
        }
        let before = self.word_before(lexer, 1);
        match lexer.key(token) {
            keys::INTO => self.into = true,
            keys::OUTFILE | keys::DUMPFILE if before == keys::INTO => {
                self.note(Fact::WritesFile, token, token);
            }
            keys::INSERT | keys::REPLACE if !is_call(lexer) && before != keys::OR => {
                self.note(Fact::Writes, token, token);
            }
            keys::UPDATE if before == keys::FOR => self.note(Fact::LocksRows, token, token),
            keys::SHARE if matches!(before, keys::FOR | keys::IN) => {
                self.note(Fact::LocksRows, token, token);
            }
            keys::UPDATE | keys::DELETE if !matches!(before, keys::KEY | keys::ON) => {
                self.note(Fact::Writes, token, token);
            }
            keys::VALUE if before == keys::NEXT => self.sequence(lexer, Fact::UsesSequence, token),
            keys::VALUE if before == keys::PREVIOUS => {
                self.sequence(lexer, Fact::ReadsSequence, token);
            }
            keys::WITH => return self.with(*lexer),
            keys::SELECT | keys::VALUES | keys::TABLE => {}
            _ => return,
        }
        self.end_with_list();
    }

    fn end_with_list(&mut self) {
        self.with_lists &= !self.with_list_here();
    }

    fn with_list_here(&self) -> u64 {
        1 << self.depth.min(DEPTH_MAX)
    }

    /// `WITH [RECURSIVE] name [(column, …)] AS`; `WITH ROLLUP` and others are no such list.
    fn with(&mut self, mut ahead: Lexer<'_>) {
        let mut name = ahead.next();
        let recursive = ahead.key(name) == keys::RECURSIVE;
        if recursive {
            name = ahead.next();
        }
        let behind = ahead.next();
        let listed = behind.kind == Kind::Open || ahead.key(behind) == keys::AS;
        if listed && ahead.key(name) != keys::ROLLUP && self.depth < DEPTH_MAX {
            self.with_lists |= self.with_list_here();
        }
    }

    /// `sequence.nextval`, where MariaDB speaks another vendor's grammar.
    fn member(&mut self, lexer: &Lexer<'_>, name: Token) {
        if !lexer.dialect().modes.oracle {
            return;
        }
        match lexer.key(name) {
            keys::NEXTVAL => self.note(Fact::UsesSequence, name, name),
            keys::CURRVAL => self.note(Fact::ReadsSequence, name, name),
            _ => {}
        }
    }

    fn sequence(&mut self, lexer: &Lexer<'_>, fact: Fact, value: Token) {
        if lexer.dialect().is_mariadb() && lexer.key({ *lexer }.next()) == keys::FOR {
            self.note(fact, self.before(1), value);
        }
    }

    /// `@name`: written behind INTO and before `:=`, read anywhere else.
    #[inline(never)]
    fn user_variable(&mut self, lexer: &Lexer<'_>, token: Token) {
        let written = self.into || { *lexer }.next().kind == Kind::Assign;
        let fact = if written {
            Fact::WritesUserVariable
        } else {
            Fact::ReadsUserVariable
        };
        self.note(fact, token, token);
    }

    /// `@@[scope.]name`, whose name follows.
    #[inline(never)]
    fn system_variable(&mut self, lexer: &Lexer<'_>, token: Token) {
        let mut ahead = *lexer;
        let mut name = ahead.next();
        let scope = ahead.key(name);
        let scoped = is_scope(scope) && { ahead }.next().kind == Kind::Dot;
        if scoped {
            ahead.next();
            name = ahead.next();
        }
        if scoped && !matches!(scope, keys::SESSION | keys::LOCAL) {
            return;
        }
        self.note(Fact::ReadsSystemVariable, token, name);
        if let Some(fact) = variable_speaks(unquoted(ahead.bytes(name))) {
            self.note(fact, token, name);
        }
    }

    fn close(&mut self, lexer: &mut Lexer<'_>) {
        self.end_with_list();
        if self.depth == 0 {
            return lexer.raise_trouble();
        }
        self.depth -= 1;
    }

    #[inline(never)]
    fn open(&mut self, lexer: &Lexer<'_>, open: Token) {
        let name = self.before(1);
        if matches!(name.kind, Kind::Word | Kind::Quoted) {
            if self.before(2).kind == Kind::Dot {
                // A database's function, a package's, or a type's.
                self.note(Fact::CallsUnknown, self.before(3), name);
            } else if !self.is_column_list(lexer) {
                self.name_before_open(lexer, name, open);
            }
        }
        self.depth += 1;
    }

    /// Whether the name before is that of an alias or of a common table expression.
    fn is_column_list(&self, lexer: &Lexer<'_>) -> bool {
        let before = self.before(2);
        match before.kind {
            Kind::Word if lexer.key(before) == keys::AS => true,
            Kind::Word => {
                self.with_lists & self.with_list_here() != 0
                    && matches!(lexer.key(before), keys::WITH | keys::RECURSIVE)
            }
            Kind::Comma => self.with_lists & self.with_list_here() != 0,
            _ => false,
        }
    }

    /// A call, unless the grammar has it otherwise.
    fn name_before_open(&mut self, lexer: &Lexer<'_>, name: Token, open: Token) {
        if name.kind == Kind::Quoted {
            let facts = words::facts(unquoted(lexer.bytes(name)));
            self.speak(lexer, facts, name);
            // Functions that are keywords are hidden by quotes.
            return self.note(Fact::CallsUnknown, name, name);
        }
        let facts = lexer.facts(name);
        if facts.never_function(&lexer.dialect()) || self.is_grammar(lexer, name) {
            return;
        }
        self.speak(lexer, facts, name);
        let dialect = lexer.dialect();
        let apart = facts.without_space(&dialect) && !is_adjacent(lexer, name, open);
        let hidden = apart || (facts.with_arguments && { *lexer }.next().kind == Kind::Close);
        if hidden || !facts.harmless(&dialect) {
            self.note(Fact::CallsUnknown, name, name);
        }
    }

    /// Words that may name functions, but do not here.
    fn is_grammar(&self, lexer: &Lexer<'_>, name: Token) -> bool {
        let before = self.before(2);
        match lexer.key(name) {
            keys::ANY | keys::SOME => {
                let inside = { *lexer }.next();
                before.kind == Kind::Operator
                    && (begins_query(lexer.key(inside)) || inside.kind == Kind::Open)
            }
            keys::AGAINST => before.kind == Kind::Close,
            keys::COLUMNS => matches!(before.kind, Kind::Text | Kind::Close),
            keys::JSON_TABLE => has_columns(*lexer),
            _ => false,
        }
    }

    fn speak(&mut self, lexer: &Lexer<'_>, facts: WordFacts, name: Token) {
        let Some(fact) = facts.speaks else {
            return;
        };
        let empty = { *lexer }.next().kind == Kind::Close;
        match fact {
            Fact::ReadsLastInsertId if !empty => self.note(Fact::SetsLastInsertId, name, name),
            _ => self.note(fact, name, name),
        }
    }
}

/// Whether `COLUMNS (` is among what comes up to the bracket's end, as no function has it.
fn has_columns(mut ahead: Lexer<'_>) -> bool {
    let mut open = 1_usize;
    let mut columns = false;
    while open > 0 {
        let token = ahead.next();
        match token.kind {
            Kind::Open if columns => return true,
            Kind::Open => open += 1,
            Kind::Close => open -= 1,
            _ if token.ends_statement() => return false,
            _ => {}
        }
        columns = ahead.key(token) == keys::COLUMNS;
    }
    false
}

/// Whether nothing parts a name from its bracket, or what IGNORE_SPACE ignores, which are no comments.
fn is_adjacent(lexer: &Lexer<'_>, name: Token, open: Token) -> bool {
    let between = name.range().end..open.range().start;
    let gap = lexer.text().get(between).unwrap_or_default();
    let is_space = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0d);
    gap.is_empty() || (lexer.dialect().modes.ignore_space && gap.iter().all(is_space))
}

const COUNTS: &[u8] = b"sql_calc_found_rows";

/// What reading this system variable tells.
fn variable_speaks(name: &[u8]) -> Option<Fact> {
    match words::key(name) {
        keys::IDENTITY | keys::LAST_INSERT_ID => Some(Fact::ReadsLastInsertId),
        keys::WARNING_COUNT | keys::ERROR_COUNT => Some(Fact::ReadsDiagnostics),
        keys::PSEUDO_THREAD_ID => Some(Fact::ReadsConnectionId),
        _ => None,
    }
}

/// Whether a bracket follows.
fn is_call(lexer: &Lexer<'_>) -> bool {
    { *lexer }.next().kind == Kind::Open
}

/// The words that tell whose setting is meant.
pub(super) fn is_scope(word: u128) -> bool {
    matches!(
        word,
        keys::GLOBAL | keys::SESSION | keys::LOCAL | keys::PERSIST | keys::PERSIST_ONLY
    )
}

/// The words that begin a query.
pub(super) fn begins_query(word: u128) -> bool {
    matches!(word, keys::SELECT | keys::WITH | keys::VALUES | keys::TABLE)
}

/// Whether a word that begins so may be one of those that `word_of_interest` knows.
fn begins_word_of_interest(first: u8) -> bool {
    const FIRSTS: u32 = {
        let mut set = 0;
        let mut letters: &[u8] = b"iodrusvwtnc";
        while let [letter, rest @ ..] = letters {
            set |= 1 << (*letter & 31);
            letters = rest;
        }
        set
    };
    FIRSTS >> (first & 31) & 1 == 1
}

/// A name without its quotes; those within it stay doubled.
pub(super) fn unquoted(written: &[u8]) -> &[u8] {
    match written {
        [b'`', inner @ .., b'`'] | [b'"', inner @ .., b'"'] => inner,
        _ => written,
    }
}

//! Where a statement ends that has others inside: routines, triggers, events, and MariaDB's blocks. Within `BEGIN … END`, `IF … END IF`
//! and their kin a `;` ends a statement of the body, not the whole.
//!
//! What the words mean depends on grammar that is not followed to the letter: `begin` and `end` may name columns. Where the words do
//! not come out even, the text counts as unreadable.

use super::lexer::{Kind, Lexer, Token};
use super::reader::Reader;
use super::words::keys;

/// Deeper nesting is not followed.
const DEPTH_MAX: usize = 64;

/// The body of one definition, while it is passed over.
struct Body {
    /// How many blocks and expressions are open.
    open: usize,
    /// One bit for each, the innermost lowest: it is a CASE that gives a value, where THEN begins no statement.
    expressions: u64,
    brackets: usize,
    /// The next word may begin a statement.
    at_start: bool,
    /// A DECLARE, whose handler may be a block.
    declares: bool,
    /// Whether the token before may stand before END.
    before_end: bool,
    /// A `;` was inside.
    has_statements: bool,
}

impl Body {
    /// Before its first token.
    const NEW: Body = Body {
        open: 0,
        expressions: 0,
        brackets: 0,
        at_start: true,
        declares: true,
        before_end: false,
        has_statements: false,
    };
}

/// Passes over a block that is run at once, behind its first word or label. One in another vendor's grammar has no end that is known.
pub(super) fn skip_block(reader: &mut Reader<'_, '_>, first: Token, oracle: bool) {
    let mut body = Body::NEW;
    if oracle {
        while reader.token.kind != Kind::End {
            reader.pass();
        }
        return reader.raise_trouble();
    }
    match reader.word_of(first) {
        // A label before the block, or a word that is refused.
        0 | keys::DECLARE => {}
        keys::BEGIN => body.enter_block(),
        keys::CASE | keys::IF | keys::WHILE | keys::FOR => body.open_statement(),
        keys::LOOP | keys::REPEAT => {
            body.open_statement();
            body.at_start = true;
        }
        _ => {}
    }
    skip_body(reader, body);
}

/// Passes over a definition from the next token through its end. Whether there are statements inside that end with `;`.
pub(super) fn skip(reader: &mut Reader<'_, '_>) -> bool {
    skip_body(reader, Body::NEW)
}

fn skip_body(reader: &mut Reader<'_, '_>, mut body: Body) -> bool {
    loop {
        let token = reader.token;
        let ends = token.kind == Kind::Semicolon && (body.open == 0 || body.brackets > 0);
        if ends || token.kind == Kind::End {
            break;
        }
        body.see(reader, token);
        reader.pass();
    }
    if body.open > 0 || body.brackets > 0 {
        reader.raise_trouble();
    }
    body.has_statements
}

impl Body {
    fn see(&mut self, reader: &mut Reader<'_, '_>, token: Token) {
        let before_end = std::mem::take(&mut self.before_end);
        match token.kind {
            Kind::Open => self.brackets += 1,
            Kind::Close => self.brackets = self.brackets.saturating_sub(1),
            _ if self.brackets > 0 => return,
            Kind::Semicolon => {
                self.has_statements = true;
                self.at_start = true;
                self.declares = false;
                self.before_end = true;
                return;
            }
            // Behind a label.
            Kind::Other if reader.bytes() == b":" => {
                self.at_start = true;
                return;
            }
            Kind::Word => return self.word(reader, reader.word(), before_end),
            _ => {}
        }
        // In the header anything may stand before the body.
        self.at_start &= self.open == 0 && !self.has_statements;
    }

    fn word(&mut self, reader: &mut Reader<'_, '_>, word: u128, before_end: bool) {
        let at_start = self.at_start;
        let header = self.open == 0 && !self.has_statements;
        self.at_start = header;
        match word {
            keys::BEGIN if at_start || self.declares => self.enter_block(),
            keys::NOT if before_end => self.before_end = reader.second_word() == keys::ATOMIC,
            keys::ATOMIC if before_end => self.enter_statement(),
            keys::IF if at_start && !(header && is_other_if(reader)) => self.push(false),
            keys::REPEAT if header && reader.second().kind == Kind::Open => {}
            keys::LOOP | keys::REPEAT if at_start => {
                self.push(false);
                self.at_start = true;
            }
            keys::WHILE if at_start => self.push(false),
            // Not that of FOR EACH ROW.
            keys::FOR if at_start && self.open > 0 => self.push(false),
            keys::CASE => self.push(!at_start || (header && is_expression(reader))),
            keys::END if self.in_expression() => self.pop(),
            keys::END if before_end || reader.second_word() == keys::REPEAT => self.end(reader),
            keys::THEN | keys::ELSE if !self.in_expression() => self.at_start = true,
            keys::DO => self.at_start = true,
            keys::DECLARE if at_start => self.declares = true,
            _ => {}
        }
    }

    fn open_statement(&mut self) {
        self.push(false);
        self.at_start = false;
        self.declares = false;
    }

    fn enter_block(&mut self) {
        self.push(false);
        self.enter_statement();
    }

    fn enter_statement(&mut self) {
        self.at_start = true;
        self.declares = false;
        self.before_end = true;
    }

    fn push(&mut self, expression: bool) {
        if self.open < DEPTH_MAX {
            self.expressions = self.expressions << 1 | u64::from(expression);
        }
        // Deeper, they are counted alone, and will hardly come out even.
        self.open += 1;
    }

    fn pop(&mut self) {
        if self.open <= DEPTH_MAX {
            self.expressions >>= 1;
        }
        self.open = self.open.saturating_sub(1);
    }

    fn in_expression(&self) -> bool {
        self.open > 0 && self.open <= DEPTH_MAX && self.expressions & 1 == 1
    }

    /// `END`, `END IF` …
    fn end(&mut self, reader: &mut Reader<'_, '_>) {
        self.pop();
        self.at_start = false;
        let what = reader.second_word();
        if matches!(
            what,
            keys::IF | keys::CASE | keys::LOOP | keys::WHILE | keys::REPEAT | keys::FOR
        ) {
            reader.pass();
        }
    }
}

/// `IF [NOT] EXISTS` of a header, or a call in a body of one statement.
fn is_other_if(reader: &Reader<'_, '_>) -> bool {
    let mut ahead = reader.ahead();
    let second = ahead.next();
    match ahead.key(second) {
        keys::EXISTS => return true,
        keys::NOT => return is_exists(ahead),
        _ if second.kind != Kind::Open => return false,
        _ => {}
    }
    loop {
        let token = ahead.next();
        if token.ends_statement() {
            return true;
        }
        if ahead.key(token) == keys::THEN {
            return false;
        }
    }
}

/// Whether this CASE ends before a `;`: one that is a statement has others inside.
fn is_expression(reader: &Reader<'_, '_>) -> bool {
    let mut ahead = reader.ahead();
    let mut open = 1_usize;
    while open > 0 {
        let token = ahead.next();
        match ahead.key(token) {
            keys::CASE => open += 1,
            keys::END => open -= 1,
            _ if token.ends_statement() => return false,
            _ => {}
        }
    }
    true
}

fn is_exists(mut ahead: Lexer<'_>) -> bool {
    let token = ahead.next();
    ahead.key(token) == keys::EXISTS
}

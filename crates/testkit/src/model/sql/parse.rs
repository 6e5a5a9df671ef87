//! Tokens to statements. A whole message is parsed before any of it runs, as PostgreSQL's raw parser does, so that
//! a syntax error anywhere means that nothing was executed. SET and its kin are in `parse_set.rs`.

use super::super::error::PgError;
use super::super::probe;
use super::lex::{Token, tokens};
use super::statement::{CopySource, Expr, Modes, Query, Statement, Type};

/// Parses every statement of `text`; empty statements vanish, as in PostgreSQL.
///
/// Fails with 42601 and the offending token.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>, PgError> {
    if let Some(probe) = probe::recognized(text) {
        return Ok(vec![Statement::Probe(probe)]);
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let mut statements = Vec::new();
    loop {
        while parser.symbol(';') {}
        if parser.peek().is_none() {
            return Ok(statements);
        }
        statements.push(parser.statement()?);
        if parser.peek().is_some() && !parser.symbol(';') {
            return Err(parser.unexpected());
        }
    }
}

/// Nested parentheses and casts beyond this are refused, so that hostile text cannot exhaust the stack.
const DEPTH_MAX: usize = 64;

pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
}

impl Parser {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn unexpected(&self) -> PgError {
        match self.peek() {
            Some(token) => PgError::syntax(&token.shown()),
            None => PgError::error("42601", "syntax error at end of input"),
        }
    }

    /// Consumes `word` if it is next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.at += usize::from(found);
        found
    }

    /// Consumes all of `words` or nothing.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = words.iter().all(|word| self.word(word));
        if !found {
            self.at = start;
        }
        found
    }

    pub(super) fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, found: bool) -> Result<(), PgError> {
        if found {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// An identifier, quoted or not.
    pub(super) fn name(&mut self) -> Result<String, PgError> {
        match self.peek().cloned() {
            Some(Token::Word(name) | Token::Quoted(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The end of this statement: end of text or a semicolon, which stays.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.peek(), None | Some(Token::Symbol(';')))
    }

    fn statement(&mut self) -> Result<Statement, PgError> {
        let Some(Token::Word(verb)) = self.peek().cloned() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        match verb.as_str() {
            "select" => self.select().map(Statement::Query),
            "insert" => self.insert(),
            "copy" => self.copy(),
            "set" => self.set(),
            "show" => self.setting_name().map(Statement::Show),
            "reset" => self.reset(),
            "discard" => self.discard(),
            "prepare" => self.prepare(),
            "execute" => self.execute(),
            "deallocate" => self.deallocate(),
            "begin" => {
                let _ = self.word("transaction") || self.word("work");
                Ok(Statement::Begin {
                    modes: self.modes()?,
                    tag: "BEGIN",
                })
            }
            "start" => {
                let transaction = self.word("transaction");
                self.expect(transaction)?;
                Ok(Statement::Begin {
                    modes: self.modes()?,
                    tag: "START TRANSACTION",
                })
            }
            "commit" | "end" => Ok(Statement::Commit {
                chain: self.chain()?,
            }),
            "abort" => Ok(Statement::Rollback {
                chain: self.chain()?,
            }),
            "rollback" => self.rollback(),
            "savepoint" => self.name().map(Statement::Savepoint),
            "release" => {
                self.word("savepoint");
                self.name().map(Statement::Release)
            }
            "create" => self.create_temp(),
            "drop" => {
                let table = self.word("table");
                self.expect(table)?;
                self.name().map(Statement::DropTable)
            }
            "close" => {
                let all = self.word("all");
                self.expect(all)?;
                Ok(Statement::CloseAll)
            }
            "listen" => self.name().map(Statement::Listen),
            "unlisten" if self.symbol('*') => Ok(Statement::Unlisten(None)),
            "unlisten" => self.name().map(|name| Statement::Unlisten(Some(name))),
            "vacuum" => {
                if !self.at_end() {
                    self.name()?;
                }
                Ok(Statement::Vacuum)
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn select(&mut self) -> Result<Query, PgError> {
        if self.words(&["count"]) {
            return self.count_log();
        }
        let mut list = vec![self.expr(0)?];
        while self.symbol(',') {
            list.push(self.expr(0)?);
        }
        match list.as_slice() {
            [Expr::Call(name, args)] if name == "generate" => Ok(Query::Generate(args.clone())),
            _ => Ok(Query::List(list)),
        }
    }

    fn count_log(&mut self) -> Result<Query, PgError> {
        let star = self.symbol('(') && self.symbol('*') && self.symbol(')');
        self.expect(star)?;
        let log = self.words(&["from", "log"]);
        self.expect(log)?;
        if !self.word("where") {
            return Ok(Query::CountLog(None));
        }
        let client = self.word("client") && self.symbol('=');
        self.expect(client)?;
        Ok(Query::CountLog(Some(self.expr(0)?)))
    }

    fn expr(&mut self, depth: usize) -> Result<Expr, PgError> {
        if depth > DEPTH_MAX {
            return Err(PgError::error("54001", "stack depth limit exceeded"));
        }
        let mut expr = self.primary(depth)?;
        let mut casts = 0;
        while self.peek() == Some(&Token::Cast) && casts < DEPTH_MAX {
            self.at += 1;
            casts += 1;
            expr = Expr::Cast(Box::new(expr), self.type_name()?);
        }
        Ok(expr)
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, PgError> {
        let token = self.peek().cloned().ok_or_else(|| self.unexpected())?;
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Param(number) => Ok(Expr::Param(number)),
            Token::Number(digits) => self.integer(&digits, 1),
            Token::Symbol('-') => match self.peek().cloned() {
                Some(Token::Number(digits)) => {
                    self.at += 1;
                    self.integer(&digits, -1)
                }
                _ => Err(self.unexpected()),
            },
            Token::Symbol('(') => {
                let inner = self.expr(depth + 1)?;
                let closed = self.symbol(')');
                self.expect(closed)?;
                Ok(inner)
            }
            Token::Word(word) => self.word_expr(word, depth),
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    /// Fractions are cut: only `pg_sleep` takes them, and the simulation decides how long that lasts.
    fn integer(&self, digits: &str, sign: i64) -> Result<Expr, PgError> {
        let whole = digits.split('.').next().unwrap_or_default();
        let value: i64 = whole
            .parse()
            .map_err(|_| PgError::error("22003", "value out of range"))?;
        Ok(Expr::Int(sign * value))
    }

    fn word_expr(&mut self, word: String, depth: usize) -> Result<Expr, PgError> {
        match word.as_str() {
            "null" => return Ok(Expr::Null),
            "true" => return Ok(Expr::Bool(true)),
            "false" => return Ok(Expr::Bool(false)),
            "current_user" | "session_user" => return Ok(Expr::Call(word, Vec::new())),
            // All functions are in this schema.
            "pg_catalog" if self.symbol('.') => {
                let name = self.name()?;
                return self.call(name, depth);
            }
            _ => {}
        }
        self.call(word, depth)
    }

    fn call(&mut self, word: String, depth: usize) -> Result<Expr, PgError> {
        let open = self.symbol('(');
        self.expect(open)?;
        let mut args = Vec::new();
        while !self.symbol(')') {
            if !args.is_empty() {
                let comma = self.symbol(',');
                self.expect(comma)?;
            }
            args.push(self.expr(depth + 1)?);
        }
        Ok(Expr::Call(word, args))
    }

    fn type_name(&mut self) -> Result<Type, PgError> {
        let name = self.name()?;
        match name.as_str() {
            "int" | "int4" | "integer" => Ok(Type::Int4),
            "int8" | "bigint" => Ok(Type::Int8),
            "text" | "varchar" | "name" => Ok(Type::Text),
            "bool" | "boolean" => Ok(Type::Bool),
            other => Err(PgError::error(
                "42704",
                format!("type \"{other}\" does not exist"),
            )),
        }
    }

    fn insert(&mut self) -> Result<Statement, PgError> {
        let head = self.words(&["into", "log", "values"]) && self.symbol('(');
        self.expect(head)?;
        let client = self.expr(0)?;
        let comma = self.symbol(',');
        self.expect(comma)?;
        let number = self.expr(0)?;
        let closed = self.symbol(')');
        self.expect(closed)?;
        Ok(Statement::InsertLog { client, number })
    }

    fn copy(&mut self) -> Result<Statement, PgError> {
        if self.words(&["log", "from", "stdin"]) {
            return Ok(Statement::CopyIn);
        }
        if self.words(&["log", "to", "stdout"]) {
            return Ok(Statement::CopyOut(CopySource::Log));
        }
        let open = self.symbol('(') && self.word("select");
        self.expect(open)?;
        let query = self.select()?;
        let closed = self.symbol(')') && self.words(&["to", "stdout"]);
        self.expect(closed)?;
        Ok(Statement::CopyOut(CopySource::Query(query)))
    }

    fn prepare(&mut self) -> Result<Statement, PgError> {
        let name = self.name()?;
        let mut types = Vec::new();
        if self.symbol('(') {
            types.push(self.type_name()?);
            while self.symbol(',') {
                types.push(self.type_name()?);
            }
            let closed = self.symbol(')');
            self.expect(closed)?;
        }
        let body = self.word("as");
        self.expect(body)?;
        let start = self.at;
        let body = self.statement()?;
        if !matches!(body, Statement::Query(_) | Statement::InsertLog { .. }) {
            self.at = start;
            return Err(self.unexpected());
        }
        Ok(Statement::Prepare {
            name,
            types,
            body: Box::new(body),
        })
    }

    fn execute(&mut self) -> Result<Statement, PgError> {
        let name = self.name()?;
        let mut args = Vec::new();
        if self.symbol('(') {
            args.push(self.expr(0)?);
            while self.symbol(',') {
                args.push(self.expr(0)?);
            }
            let closed = self.symbol(')');
            self.expect(closed)?;
        }
        Ok(Statement::Execute { name, args })
    }

    fn deallocate(&mut self) -> Result<Statement, PgError> {
        self.word("prepare");
        if self.word("all") {
            return Ok(Statement::Deallocate(None));
        }
        self.name().map(|name| Statement::Deallocate(Some(name)))
    }

    fn chain(&mut self) -> Result<bool, PgError> {
        let _ = self.word("transaction") || self.word("work");
        if self.words(&["and", "no", "chain"]) {
            return Ok(false);
        }
        Ok(self.words(&["and", "chain"]))
    }

    fn rollback(&mut self) -> Result<Statement, PgError> {
        let start = self.at;
        let _ = self.word("transaction") || self.word("work");
        if self.word("to") {
            self.word("savepoint");
            return self.name().map(Statement::RollbackTo);
        }
        self.at = start;
        Ok(Statement::Rollback {
            chain: self.chain()?,
        })
    }

    pub(super) fn modes(&mut self) -> Result<Modes, PgError> {
        let mut modes = Modes::default();
        while !self.at_end() {
            if self.words(&["isolation", "level"]) {
                modes.isolation = Some(self.isolation()?);
            } else if self.words(&["read", "only"]) {
                modes.read_only = Some(true);
            } else if self.words(&["read", "write"]) {
                modes.read_only = Some(false);
            } else if self.word("deferrable") {
                modes.deferrable = Some(true);
            } else if self.words(&["not", "deferrable"]) {
                modes.deferrable = Some(false);
            } else {
                return Err(self.unexpected());
            }
            self.symbol(',');
        }
        Ok(modes)
    }

    fn isolation(&mut self) -> Result<&'static str, PgError> {
        for level in [
            "read committed",
            "read uncommitted",
            "repeatable read",
            "serializable",
        ] {
            let words: Vec<&str> = level.split(' ').collect();
            if self.words(&words) {
                return Ok(level);
            }
        }
        Err(self.unexpected())
    }

    /// `CREATE TEMP TABLE name [(…)]`; the columns are skipped.
    fn create_temp(&mut self) -> Result<Statement, PgError> {
        let temp = self.word("temp") || self.word("temporary");
        let table = temp && self.word("table");
        self.expect(table)?;
        let name = self.name()?;
        while !self.at_end() {
            self.at += 1;
        }
        Ok(Statement::CreateTemp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_question_about_limits_is_understood() {
        let text = "SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections'), \
                    coalesce(current_setting('reserved_connections', true), '0')";
        let statements = parse(text).expect("valid");
        assert!(
            matches!(&statements[..], [Statement::Query(Query::List(list))] if list.len() == 3)
        );
    }

    #[test]
    fn functions_may_be_named_with_their_schema() {
        let statements = parse("SELECT pg_catalog.set_config('a.b','c',false)").expect("valid");
        assert_eq!(
            statements,
            parse("SELECT set_config('a.b', 'c', false)").expect("valid")
        );
        assert!(parse("SELECT public.f()").is_err());
    }

    #[test]
    fn statements_are_split_outside_quotes_only() {
        assert_eq!(parse("select ';'; ; begin;commit").expect("valid").len(), 3);
        assert_eq!(parse(" ; -- nothing").expect("valid").len(), 0);
    }

    #[test]
    fn unknown_sql_is_a_syntax_error_near_its_first_odd_word() {
        for (text, near) in [
            ("frobnicate", "frobnicate"),
            ("select 1 1", "1"),
            ("begin x", "x"),
        ] {
            let error = parse(text).expect_err("not SQL of the model");
            assert_eq!(error, PgError::syntax(near), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("select {}1", "(".repeat(10_000));
        assert_eq!(parse(&text).expect_err("too deep").code, "54001");
    }
}

//! Whether a text calls one of certain functions or procedures: a second look, at texts that are not harmless, for those that an
//! operator has named.

use super::dialect::Dialect;
use super::lexer::{Kind, Lexer, Token};
use super::scan::unquoted;
use super::words::keys;

/// Whether `sql` calls one of `functions`, which are in lower case, in whatever database; `CALL name` needs no brackets.
pub fn calls(sql: &[u8], dialect: Dialect, functions: &[Box<str>]) -> bool {
    let mut lexer = Lexer::new(sql, dialect);
    let mut before = Token::NONE;
    let mut called = false;
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::End => return false,
            Kind::Open if is_one(&lexer, before, functions) => return true,
            Kind::Word if lexer.key(token) == keys::CALL => called = true,
            Kind::Word | Kind::Quoted if called && is_one(&lexer, token, functions) => return true,
            Kind::Word | Kind::Quoted | Kind::Dot => {}
            _ => called = false,
        }
        before = token;
    }
}

fn is_one(lexer: &Lexer<'_>, name: Token, functions: &[Box<str>]) -> bool {
    if !matches!(name.kind, Kind::Word | Kind::Quoted) {
        return false;
    }
    let written = unquoted(lexer.bytes(name));
    functions
        .iter()
        .any(|function| function.as_bytes().eq_ignore_ascii_case(written))
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Family;
    use super::*;

    #[test]
    fn a_call_is_found_in_any_database_and_case() {
        let functions = ["set_tenant".into(), "set_global".into()];
        let dialect = Dialect::new(Family::MySql, 80000);
        let found = |sql: &str| calls(sql.as_bytes(), dialect, &functions);
        for sql in [
            "select set_global(1)",
            "select a, App.SET_GLOBAL ('x') from t",
            "call `set_global`()",
            "CALL app . set_tenant",
            "insert into t values (set_tenant(?))",
            "select 1 /*! , set_tenant(1) */",
        ] {
            assert!(found(sql), "{sql}");
        }
        for sql in [
            "select set_global from t",
            "select 'set_global(1)'",
            "select reset_global(1) -- set_global(1)",
            "call reset(1), set_tenant",
            "",
            "select \"",
        ] {
            assert!(!found(sql), "{sql}");
        }
    }
}

//! Whether a text calls one of certain functions: a second look, at texts that are not harmless, for functions that an operator has named.

use super::lexer::{Kind, Lexer, Token};

/// Whether `sql` calls one of `functions`, which are in lower case and in order, in whatever schema; also in a dollar-quoted text,
/// as a DO block has it.
pub fn calls(sql: &[u8], standard_conforming_strings: bool, functions: &[Box<str>]) -> bool {
    walk(
        Lexer::new(sql, standard_conforming_strings),
        functions,
        true,
    )
}

/// Whether a call comes; with `deeper`, in dollar-quoted texts, too.
fn walk(mut lexer: Lexer<'_>, functions: &[Box<str>], deeper: bool) -> bool {
    let mut before = Token::NONE;
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::End => return false,
            Kind::Open if is_one(&lexer, before, functions) => return true,
            // No deeper: what is quoted in there is made into a statement only when it runs.
            Kind::DollarText if deeper => {
                let body = Lexer::new(inside(lexer.bytes(token)), true);
                if walk(body, functions, false) {
                    return true;
                }
            }
            _ => {}
        }
        before = token;
    }
}

/// What stands between `$tag$` and `$tag$`.
fn inside(written: &[u8]) -> &[u8] {
    let tag = written.iter().skip(1).position(|byte| *byte == b'$');
    let tag = tag.map_or(0, |at| at + 2);
    written
        .get(tag..written.len().saturating_sub(tag))
        .unwrap_or_default()
}

fn is_one(lexer: &Lexer<'_>, name: Token, functions: &[Box<str>]) -> bool {
    let written = lexer.bytes(name);
    let written = match name.kind {
        Kind::Word => written,
        Kind::Quoted => &written[1..written.len() - 1],
        _ => return false,
    };
    functions
        .iter()
        .any(|function| function.as_bytes().eq_ignore_ascii_case(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_in_any_schema_and_case_and_in_a_block() {
        let functions = ["plv8_set".into(), "set_global".into()];
        let found = |sql: &str| calls(sql.as_bytes(), true, &functions);
        for sql in [
            "select set_global(1)",
            "select a, App.SET_GLOBAL ('x') from t",
            "call \"set_global\"()",
            "do $x$ begin perform set_global(1); end $x$",
            "insert into t values (plv8_set($1))",
        ] {
            assert!(found(sql), "{sql}");
        }
        for sql in [
            "select set_global from t",
            "select 'set_global(1)'",
            "select reset_global(1) -- set_global(1)",
            "select $$set_global$$",
            "",
            "select $$",
        ] {
            assert!(!found(sql), "{sql}");
        }
    }
}

//! The small SQL the model server understands: text to statements, nothing executed.
//!
//! Enough of the grammar for what drivers, proxies and the scripted clients send around their real queries: settings,
//! transactions, prepared statements, COPY, and `SELECT` lists of literals, parameters and a handful of functions.
//! Everything else is the syntax error that PostgreSQL would give for nonsense (42601).

mod lex;
mod parse;
mod parse_set;
mod statement;

pub(crate) use lex::quote_identifier;
pub(crate) use parse::parse;
pub(crate) use statement::{
    CopySource, Discard, Expr, Modes, Probe, Query, Scope, SetValue, Statement, Type,
};

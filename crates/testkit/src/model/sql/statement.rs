//! What the parser produces: one value per statement, with literals already unquoted.
//!
//! `Statement` also answers what PostgreSQL asks of the grammar alone: is it transaction control, what does a failed
//! transaction still take, which parameters are there.

/// One parsed statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statement {
    Query(Query),
    InsertLog {
        client: Expr,
        number: Expr,
    },
    CopyIn,
    CopyOut(CopySource),
    Set {
        scope: Scope,
        name: String,
        value: SetValue,
    },
    SetTransaction(Modes),
    SetCharacteristics(Modes),
    Show(String),
    Reset(String),
    ResetAll,
    Discard(Discard),
    Prepare {
        name: String,
        types: Vec<Type>,
        body: Box<Statement>,
    },
    Execute {
        name: String,
        args: Vec<Expr>,
    },
    Deallocate(Option<String>),
    Begin {
        modes: Modes,
        tag: &'static str,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    CreateTemp(String),
    DropTable(String),
    CloseAll,
    Listen(String),
    Unlisten(Option<String>),
    Vacuum,
    /// What a proxy asks to learn what the session holds.
    Probe(Probe),
}

/// Which part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Probe {
    Settings,
    Identity,
    Mentioned,
    Named(Vec<String>),
    Objects,
}

/// A statement that computes rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Query {
    /// `SELECT a, b …`: one row.
    List(Vec<Expr>),
    /// `SELECT generate(n [, size [, tag]])`: `n` rows.
    Generate(Vec<Expr>),
    /// `SELECT count(*) FROM log [WHERE client = …]`.
    CountLog(Option<Expr>),
}

/// What `COPY … TO STDOUT` sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CopySource {
    Log,
    Query(Query),
}

/// A scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Null,
    Int(i64),
    Text(String),
    Bool(bool),
    /// `$n`, counted from 1.
    Param(usize),
    Call(String, Vec<Expr>),
    Cast(Box<Expr>, Type),
}

/// The few types the model tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int4,
    Int8,
    Text,
    Void,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Session,
    Local,
}

/// The right side of SET, still in the form it was written: a list keeps its elements apart because list settings
/// quote each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetValue {
    Default,
    List(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    All,
    Plans,
    Sequences,
    Temp,
}

/// Transaction modes of BEGIN and SET TRANSACTION; `None` where not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Modes {
    pub(crate) isolation: Option<&'static str>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

impl Statement {
    /// A `TransactionStmt` of PostgreSQL's grammar: committed at once even inside a pipeline.
    pub(crate) fn is_transaction_control(&self) -> bool {
        matches!(
            self,
            Self::Begin { .. }
                | Self::Commit { .. }
                | Self::Rollback { .. }
                | Self::Savepoint(_)
                | Self::RollbackTo(_)
                | Self::Release(_)
        )
    }

    /// What a failed transaction still accepts.
    pub(crate) fn is_transaction_exit(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. } | Self::Rollback { .. } | Self::RollbackTo(_)
        )
    }

    /// The types of its parameters, inferred from where they stand; index 0 is `$1`.
    pub(crate) fn parameter_types(&self, declared: &[Option<Type>]) -> Vec<Type> {
        let mut found: Vec<Option<Type>> = declared.to_vec();
        self.visit(&mut |expr, wanted| note_parameter(expr, wanted, &mut found));
        found
            .into_iter()
            .map(|known| known.unwrap_or(Type::Text))
            .collect()
    }

    fn visit(&self, see: &mut impl FnMut(&Expr, Option<Type>)) {
        match self {
            Self::Query(query) | Self::CopyOut(CopySource::Query(query)) => query.visit(see),
            Self::InsertLog { client, number } => {
                client.visit(Some(Type::Text), see);
                number.visit(Some(Type::Int8), see);
            }
            Self::Execute { args, .. } => args.iter().for_each(|arg| arg.visit(None, see)),
            _ => {}
        }
    }
}

impl Query {
    fn visit(&self, see: &mut impl FnMut(&Expr, Option<Type>)) {
        match self {
            Self::List(exprs) => exprs.iter().for_each(|expr| expr.visit(None, see)),
            Self::Generate(args) => args.iter().enumerate().for_each(|(at, arg)| {
                arg.visit(Some(if at < 2 { Type::Int4 } else { Type::Text }), see);
            }),
            Self::CountLog(client) => {
                client
                    .iter()
                    .for_each(|expr| expr.visit(Some(Type::Text), see));
            }
        }
    }
}

impl Expr {
    fn visit(&self, wanted: Option<Type>, see: &mut impl FnMut(&Expr, Option<Type>)) {
        match self {
            Self::Call(name, args) => {
                args.iter()
                    .enumerate()
                    .for_each(|(at, arg)| arg.visit(argument_type(name, at), see));
            }
            Self::Cast(inner, to) => inner.visit(Some(*to), see),
            other => see(other, wanted),
        }
    }
}

fn argument_type(function: &str, at: usize) -> Option<Type> {
    match (function, at) {
        ("pg_advisory_lock" | "pg_advisory_unlock", _) => Some(Type::Int8),
        ("set_config", 2) | ("current_setting", 1) => Some(Type::Bool),
        _ => None,
    }
}

fn note_parameter(expr: &Expr, wanted: Option<Type>, found: &mut Vec<Option<Type>>) {
    let Expr::Param(number) = expr else { return };
    if found.len() < *number {
        found.resize(*number, None);
    }
    let slot = &mut found[number - 1];
    *slot = slot.or(wanted);
}

//! Why a session keeps its lease between transactions.
//!
//! A pin has exactly one reason at a time (the first that arose); the names below are the ones that logs, metrics and
//! documentation use. Each engine decides in its `pinning.rs` when a reason arises and when it ends.

/// Why a session keeps its backend across boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PinReason {
    /// A temporary table, view, sequence or type exists, or may exist, on the backend.
    TemporaryObject,
    /// A cursor `WITH HOLD` outlives its transaction.
    HoldableCursor,
    /// A session-level advisory lock is held, or may be held.
    AdvisoryLock,
    /// The session listens on a notification channel.
    Listen,
    /// A statement prepared by SQL (`PREPARE`) lives on the backend.
    SqlPrepare,
    /// A setting was changed by `set_config`, whose name or value is only known to the server.
    SetConfig,
    /// A setting was changed in a form that is not tracked.
    UntrackedSetting,
    /// A library was loaded into the backend (`LOAD`).
    LoadLibrary,
    /// The session reads values that its backend alone remembers (`currval`, `lastval`).
    SequenceState,
    /// State of the random number generator (`setseed`, `SET SEED`).
    Seed,
    /// A procedure or anonymous block may have changed the session in ways that cannot be seen.
    ProcedureCall,
    /// The server reported a changed setting that no tracked statement explains.
    UnexplainedReport,
    /// Temporary replication state: slots, replication origins, backups in progress.
    ReplicationState,
    /// The client opened a replication connection; its backend is its own from start to end.
    ReplicationConnection,
    /// The client's startup message sets what a server process reads only when it starts; its backend is its own from start to end.
    StartupParameter,
    /// A function was called that leaves behind in its server process what nothing takes away.
    TaintingFunction,
    /// A statement was prepared whose text is too long to be kept, so that only its backend has it.
    LongStatement,
    /// A user variable (`@name`) holds a value that is only known to the server.
    UserVariable,
    /// A lock of `GET_LOCK` or of a locking service is held, or may be held.
    NamedLock,
    /// Tables, or the whole server, are locked (`LOCK TABLES`, `FLUSH TABLES WITH READ LOCK`, backup locks).
    TableLock,
    /// A table is open by `HANDLER`.
    Handler,
    /// A prepared statement has a cursor whose rows are not all fetched, or parts of its parameters were sent ahead.
    Cursor,
    /// A setting holds for the next transaction or statement alone.
    OneShotSetting,
    /// The session reads what its last statement left behind (warnings, `ROW_COUNT()`, `FOUND_ROWS()`).
    LeftBehind,
}

impl PinReason {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [PinReason; 24] = [
        PinReason::TemporaryObject,
        PinReason::HoldableCursor,
        PinReason::AdvisoryLock,
        PinReason::Listen,
        PinReason::SqlPrepare,
        PinReason::SetConfig,
        PinReason::UntrackedSetting,
        PinReason::LoadLibrary,
        PinReason::SequenceState,
        PinReason::Seed,
        PinReason::ProcedureCall,
        PinReason::UnexplainedReport,
        PinReason::ReplicationState,
        PinReason::ReplicationConnection,
        PinReason::StartupParameter,
        PinReason::TaintingFunction,
        PinReason::LongStatement,
        PinReason::UserVariable,
        PinReason::NamedLock,
        PinReason::TableLock,
        PinReason::Handler,
        PinReason::Cursor,
        PinReason::OneShotSetting,
        PinReason::LeftBehind,
    ];

    /// The name in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            PinReason::TemporaryObject => "temporary_object",
            PinReason::HoldableCursor => "holdable_cursor",
            PinReason::AdvisoryLock => "advisory_lock",
            PinReason::Listen => "listen",
            PinReason::SqlPrepare => "sql_prepare",
            PinReason::SetConfig => "set_config",
            PinReason::UntrackedSetting => "untracked_setting",
            PinReason::LoadLibrary => "load_library",
            PinReason::SequenceState => "sequence_state",
            PinReason::Seed => "seed",
            PinReason::ProcedureCall => "procedure_call",
            PinReason::UnexplainedReport => "unexplained_report",
            PinReason::ReplicationState => "replication_state",
            PinReason::ReplicationConnection => "replication_connection",
            PinReason::StartupParameter => "startup_parameter",
            PinReason::TaintingFunction => "tainting_function",
            PinReason::LongStatement => "long_statement",
            PinReason::UserVariable => "user_variable",
            PinReason::NamedLock => "named_lock",
            PinReason::TableLock => "table_lock",
            PinReason::Handler => "handler",
            PinReason::Cursor => "cursor",
            PinReason::OneShotSetting => "one_shot_setting",
            PinReason::LeftBehind => "left_behind",
        }
    }
}

/// The reasons that a session has for keeping its backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pins(u32);

const _: () = assert!(PinReason::ALL.len() <= u32::BITS as usize);

impl Pins {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of them.
    pub fn contains(self, reason: PinReason) -> bool {
        self.0 & 1 << reason as u16 != 0
    }

    /// All of them, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL
            .into_iter()
            .filter(move |&reason| self.contains(reason))
    }

    /// One more.
    pub fn add(&mut self, reason: PinReason) {
        self.0 |= 1 << reason as u16;
    }

    /// One less.
    pub fn remove(&mut self, reason: PinReason) {
        self.0 &= !(1 << reason as u16);
    }

    /// Only those that `stays` is true of.
    pub fn retain(&mut self, stays: impl Fn(PinReason) -> bool) {
        for reason in PinReason::ALL.into_iter().filter(|reason| !stays(*reason)) {
            self.remove(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PinReason, Pins};

    #[test]
    fn all_lists_every_reason_at_its_discriminant() {
        for (index, reason) in PinReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{}", reason.as_str());
        }
    }

    #[test]
    fn pins_are_a_set_of_reasons() {
        let mut pins = Pins::default();
        assert!(pins.is_empty());
        pins.add(PinReason::NamedLock);
        pins.add(PinReason::TemporaryObject);
        assert!(pins.contains(PinReason::NamedLock));
        let all: Vec<_> = pins.iter().collect();
        assert_eq!(all, [PinReason::TemporaryObject, PinReason::NamedLock]);
        pins.remove(PinReason::NamedLock);
        pins.remove(PinReason::TemporaryObject);
        assert!(pins.is_empty());
    }
}

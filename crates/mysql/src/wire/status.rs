//! Status flags: what OK and EOF packets say of the session (MySQL's documentation, `SERVER_STATUS_flags_enum`; MariaDB's, "OK_Packet").

use std::ops::BitOr;

/// A set of status flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// A transaction is open.
    pub const IN_TRANS: Status = Status(1);
    /// `autocommit` is on.
    pub const AUTOCOMMIT: Status = Status(1 << 1);
    /// Another result follows this one.
    pub const MORE_RESULTS_EXISTS: Status = Status(1 << 3);
    /// No good index was used.
    pub const NO_GOOD_INDEX_USED: Status = Status(1 << 4);
    /// No index was used.
    pub const NO_INDEX_USED: Status = Status(1 << 5);
    /// A cursor was opened; its rows are to be fetched.
    pub const CURSOR_EXISTS: Status = Status(1 << 6);
    /// The cursor has no more rows.
    pub const LAST_ROW_SENT: Status = Status(1 << 7);
    /// The current database was dropped.
    pub const DB_DROPPED: Status = Status(1 << 8);
    /// The server reads backslashes in strings as they are.
    pub const NO_BACKSLASH_ESCAPES: Status = Status(1 << 9);
    /// A prepared statement was prepared anew and its columns are others.
    pub const METADATA_CHANGED: Status = Status(1 << 10);
    /// The statement was slow.
    pub const QUERY_WAS_SLOW: Status = Status(1 << 11);
    /// The result holds the OUT parameters of a procedure.
    pub const PS_OUT_PARAMS: Status = Status(1 << 12);
    /// The open transaction only reads.
    pub const IN_TRANS_READONLY: Status = Status(1 << 13);
    /// The OK packet tells what changed in the session.
    pub const SESSION_STATE_CHANGED: Status = Status(1 << 14);
    /// `sql_mode` has `ANSI_QUOTES` (MariaDB).
    pub const ANSI_QUOTES: Status = Status(1 << 15);

    /// What a server says of a statement, and may go on saying in answers to commands that are none (MariaDB).
    pub const OF_STATEMENT: Status = Status(
        Status::MORE_RESULTS_EXISTS.0
            | Status::NO_GOOD_INDEX_USED.0
            | Status::NO_INDEX_USED.0
            | Status::QUERY_WAS_SLOW.0
            | Status::METADATA_CHANGED.0,
    );

    /// What stays true when the statement is over: what a session has, not what an answer is.
    pub const OF_SESSION: Status = Status(
        Status::IN_TRANS.0
            | Status::IN_TRANS_READONLY.0
            | Status::AUTOCOMMIT.0
            | Status::NO_BACKSLASH_ESCAPES.0
            | Status::ANSI_QUOTES.0,
    );

    /// What of this set is true of the session.
    pub const fn of_session(self) -> Status {
        Status(self.0 & Status::OF_SESSION.0)
    }

    /// Whether all of `flags` are in this set.
    #[inline]
    pub const fn has(self, flags: Status) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// This set without `flags`.
    pub const fn without(self, flags: Status) -> Status {
        Status(self.0 & !flags.0)
    }
}

impl BitOr for Status {
    type Output = Status;

    fn bitor(self, other: Status) -> Status {
        Status(self.0 | other.0)
    }
}

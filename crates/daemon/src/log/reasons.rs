//! Pins and endings in words, after RDS Proxy's log (reference: its group `/aws/rds/proxy/…`, format "subject to change").

use forebay_core::{CloseReason, PinReason};

/// Why a session keeps its database connection.
pub fn pin(reason: PinReason) -> &'static str {
    match reason {
        PinReason::TemporaryObject => {
            "A temporary table, view, sequence or type exists, or may exist."
        }
        PinReason::HoldableCursor => "A cursor WITH HOLD outlives its transaction.",
        PinReason::AdvisoryLock => "A session-level advisory lock is held, or may be held.",
        PinReason::Listen => "The session listens on a notification channel.",
        PinReason::SqlPrepare => {
            "A prepared statement exists that the proxy can't prepare again elsewhere."
        }
        PinReason::SetConfig => {
            "A setting was changed by set_config, with a name or value that only the database knows."
        }
        PinReason::UntrackedSetting => {
            "SQL changed session settings that the proxy doesn't track. Consider moving session configuration to the proxy's initialization query."
        }
        PinReason::LoadLibrary => "A library was loaded (LOAD).",
        PinReason::SequenceState => {
            "The session reads values that its database connection alone remembers (currval, lastval)."
        }
        PinReason::Seed => "The state of the random number generator was set.",
        PinReason::ProcedureCall => "A procedure or anonymous block may have changed the session.",
        PinReason::UnexplainedReport => {
            "The database reported a changed setting that no tracked statement explains."
        }
        PinReason::ReplicationState => {
            "Replication slots, origins or a backup in progress belong to the session."
        }
        PinReason::ReplicationConnection => "It is a replication connection.",
        PinReason::StartupParameter => {
            "Its startup message sets what can only be set when a database connection begins."
        }
        PinReason::TaintingFunction => {
            "A function was called that leaves behind what nothing takes away (dblink_connect, tainting_functions)."
        }
        PinReason::LongStatement => "A prepared statement is too long to be kept by the proxy.",
        PinReason::UserVariable => "A user variable holds a value that only the database knows.",
        PinReason::NamedLock => "A named lock is held (GET_LOCK).",
        PinReason::TableLock => {
            "Tables or the server are locked (LOCK TABLES, FLUSH TABLES WITH READ LOCK)."
        }
        PinReason::Handler => "A table is open by HANDLER.",
        PinReason::Cursor => {
            "A prepared statement has a cursor with rows to fetch, or parts of its parameters were sent ahead."
        }
        PinReason::OneShotSetting => "A setting holds for the next transaction alone.",
        PinReason::LeftBehind => {
            "The session reads what its last statement left behind (warnings, ROW_COUNT, FOUND_ROWS)."
        }
    }
}

/// Why a connection ended.
pub fn close(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::ClientQuit => "The client requested that the connection close.",
        CloseReason::ClientGone => "The client closed its connection without a word.",
        CloseReason::ClientGoneMidway => {
            "The client vanished in the middle of a request or transaction."
        }
        CloseReason::WasPinned => {
            "The client session that was pinned to this database connection ended."
        }
        CloseReason::Killed => "Another client ended it (KILL).",
        CloseReason::Refused => "The proxy refused the client.",
        CloseReason::ClientProtocol => "The client broke the protocol.",
        CloseReason::Tls => "TLS failed.",
        CloseReason::Io => "Reading from or writing to the connection failed.",
        CloseReason::BackendGone => "The database closed the connection.",
        CloseReason::BackendProtocol => "The database broke the protocol.",
        CloseReason::NotClean => "It could not be proven clean for another session.",
        CloseReason::Unsuitable => {
            "It knew custom settings of other sessions that its next one never set."
        }
        CloseReason::MaxAge => "It reached its maximum age.",
        CloseReason::IdleTrimmed => {
            "More connections were idle than MaxIdleConnectionsPercent allows."
        }
        CloseReason::GivenUp => {
            "Its place was given to other users or databases whose clients had waited."
        }
        CloseReason::Reconfigured => "The configuration changed.",
        CloseReason::SetupFailed => "It could not be set up.",
        CloseReason::CancelDone => "It only carried a cancel request.",
        CloseReason::Drain => "The proxy shuts down.",
        CloseReason::Bug => "A bug in the proxy; the incident is in the log.",
    }
}

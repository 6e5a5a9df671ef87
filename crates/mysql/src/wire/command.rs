//! The commands that a client's message begins with (MySQL's documentation, "Command Phase", `include/my_command.h`; MariaDB's
//! `include/mysql_com.h` for its own).
//!
//! Numbers, not an enum: what is not known is forwarded to nobody, and that is one test of a number.

/// `COM_QUIT`; has no answer.
pub const QUIT: u8 = 0x01;
/// `COM_INIT_DB`
pub const INIT_DB: u8 = 0x02;
/// `COM_QUERY`
pub const QUERY: u8 = 0x03;
/// `COM_FIELD_LIST`
pub const FIELD_LIST: u8 = 0x04;
/// `COM_CREATE_DB`, of old.
pub const CREATE_DB: u8 = 0x05;
/// `COM_DROP_DB`, of old.
pub const DROP_DB: u8 = 0x06;
/// `COM_REFRESH`
pub const REFRESH: u8 = 0x07;
/// `COM_SHUTDOWN`
pub const SHUTDOWN: u8 = 0x08;
/// `COM_STATISTICS`; answers with a bare string.
pub const STATISTICS: u8 = 0x09;
/// `COM_PROCESS_INFO`
pub const PROCESS_INFO: u8 = 0x0a;
/// `COM_PROCESS_KILL`
pub const PROCESS_KILL: u8 = 0x0c;
/// `COM_DEBUG`
pub const DEBUG: u8 = 0x0d;
/// `COM_PING`
pub const PING: u8 = 0x0e;
/// `COM_CHANGE_USER`
pub const CHANGE_USER: u8 = 0x11;
/// `COM_BINLOG_DUMP`
pub const BINLOG_DUMP: u8 = 0x12;
/// `COM_TABLE_DUMP`, of old.
pub const TABLE_DUMP: u8 = 0x13;
/// `COM_REGISTER_SLAVE`
pub const REGISTER_SLAVE: u8 = 0x15;
/// `COM_STMT_PREPARE`
pub const STMT_PREPARE: u8 = 0x16;
/// `COM_STMT_EXECUTE`
pub const STMT_EXECUTE: u8 = 0x17;
/// `COM_STMT_SEND_LONG_DATA`; has no answer.
pub const STMT_SEND_LONG_DATA: u8 = 0x18;
/// `COM_STMT_CLOSE`; has no answer.
pub const STMT_CLOSE: u8 = 0x19;
/// `COM_STMT_RESET`
pub const STMT_RESET: u8 = 0x1a;
/// `COM_SET_OPTION`
pub const SET_OPTION: u8 = 0x1b;
/// `COM_STMT_FETCH`
pub const STMT_FETCH: u8 = 0x1c;
/// `COM_BINLOG_DUMP_GTID` (MySQL)
pub const BINLOG_DUMP_GTID: u8 = 0x1e;
/// `COM_RESET_CONNECTION`
pub const RESET_CONNECTION: u8 = 0x1f;
/// `COM_CLONE` (MySQL)
pub const CLONE: u8 = 0x20;
/// `COM_SUBSCRIBE_GROUP_REPLICATION_STREAM` (MySQL)
pub const SUBSCRIBE_GROUP_REPLICATION_STREAM: u8 = 0x21;
/// `COM_STMT_BULK_EXECUTE` (MariaDB)
pub const STMT_BULK_EXECUTE: u8 = 0xfa;

/// Arguments of `COM_SET_OPTION`: several statements in one message are allowed.
pub const OPTION_MULTI_STATEMENTS_ON: u16 = 0;
/// Arguments of `COM_SET_OPTION`: they are refused.
pub const OPTION_MULTI_STATEMENTS_OFF: u16 = 1;

/// A bit in the flags of `COM_STMT_EXECUTE`: open a cursor, which only reads.
pub const CURSOR_READ_ONLY: u8 = 1;

/// Whether a server answers this command at all.
pub fn has_answer(command: u8) -> bool {
    !matches!(command, QUIT | STMT_SEND_LONG_DATA | STMT_CLOSE)
}

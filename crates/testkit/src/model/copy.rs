//! COPY: lines out, and data in with its own small conversation.
//!
//! While data comes in, Sync and Flush are ignored and anything else that is not data ends the COPY with an error
//! (protocol documentation, "COPY Operations"). Data that arrives when no COPY runs is ignored; `connection.rs` does.

use super::backend::Backend;
use super::error::PgError;
use super::frontend::Frontend;
use super::server::Shared;
use super::session::{Progress, Session, Stop, Work};

/// Data of one COPY FROM STDIN, in bytes: beyond it the model refuses instead of growing.
const COPY_BYTES_MAX: usize = 64 << 20;

impl Session {
    pub(crate) fn start_copy_in(&mut self) {
        self.send(&Backend::CopyInResponse {
            format: 0,
            columns: vec![0, 0],
        });
        self.flush();
        self.stop = Stop::CopyIn {
            data: Vec::new(),
            canceled: false,
        };
    }

    /// Sends lines as COPY data and gives the tag.
    pub(crate) fn send_copy(&mut self, lines: &[String]) -> String {
        self.send(&Backend::CopyOutResponse {
            format: 0,
            columns: vec![0],
        });
        for line in lines {
            self.send(&Backend::CopyData(format!("{line}\n").into_bytes()));
        }
        self.send(&Backend::CopyDone);
        format!("COPY {}", lines.len())
    }

    /// A message while data is expected.
    pub(crate) fn on_copy_message(&mut self, shared: &mut Shared, kind: u8, message: Frontend) {
        let Stop::CopyIn { data, canceled } = &mut self.stop else {
            return;
        };
        let end = match message {
            Frontend::Flush | Frontend::Sync => return,
            _ if *canceled => Err(PgError::canceled()),
            Frontend::CopyData(more) if data.len() + more.len() > COPY_BYTES_MAX => {
                Err(PgError::error("53200", "out of memory"))
            }
            Frontend::CopyData(more) => {
                data.extend_from_slice(&more);
                return;
            }
            Frontend::CopyDone => rows(data),
            Frontend::CopyFail(reason) => Err(PgError::error(
                "57014",
                format!("COPY from stdin failed: {reason}"),
            )),
            _ => {
                let message =
                    format!("unexpected message type 0x{kind:02X} during COPY from stdin");
                Err(PgError::error("08P01", message))
            }
        };
        self.stop = Stop::No;
        match end {
            Ok(rows) => self.end_copy_in(shared, rows),
            Err(error) => self.fail_work(shared, error),
        }
    }

    fn end_copy_in(&mut self, shared: &mut Shared, rows: Vec<(String, i64)>) {
        let tag = format!("COPY {}", rows.len());
        for (client, _) in &rows {
            self.xact.note_owner(client);
        }
        self.undoable.rows.extend(rows);
        match std::mem::replace(&mut self.work, Work::None) {
            Work::Simple(work) => self.after_copy_simple(shared, work, tag),
            Work::Execute { .. } => self.after_copy_extended(tag),
            Work::None => {}
        }
    }

    /// Ends whatever had stopped with an error, in the manner of the protocol that carried it.
    pub(crate) fn fail_work(&mut self, shared: &mut Shared, error: PgError) {
        self.stop = Stop::No;
        self.waited = false;
        match std::mem::replace(&mut self.work, Work::None) {
            Work::Execute { portal, .. } => {
                self.set_progress(&portal, Progress::Done);
                self.fail_extended(shared, error);
            }
            Work::Simple(_) | Work::None => self.fail_simple(shared, error),
        }
    }
}

/// Lines of text format: client, tab, number.
fn rows(data: &[u8]) -> Result<Vec<(String, i64)>, PgError> {
    let text = std::str::from_utf8(data)
        .map_err(|_| PgError::error("22021", "invalid byte sequence for encoding \"UTF8\""))?;
    text.lines()
        .take_while(|line| *line != "\\.")
        .map(row)
        .collect()
}

fn row(line: &str) -> Result<(String, i64), PgError> {
    let (client, number) = line
        .split_once('\t')
        .ok_or_else(|| PgError::error("22P04", "missing data for column \"n\""))?;
    if number.contains('\t') {
        return Err(PgError::error(
            "22P04",
            "extra data after last expected column",
        ));
    }
    let number = number.parse().map_err(|_| {
        PgError::error(
            "22P02",
            format!("invalid input syntax for type bigint: \"{number}\""),
        )
    })?;
    Ok((client.to_owned(), number))
}

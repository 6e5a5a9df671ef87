//! Bytes of a client that has no backend: a few messages need none.
//!
//! What a backend could only confirm is confirmed here (the end of a pipeline that was empty, a name of the client's own that is closed, a
//! statement that another backend has prepared already); what a server would ignore is ignored. Everything else asks for a lease.

use crate::exchange::Segment;
use crate::login_cache::Work;
use crate::session::{STATEMENT_NAME_BYTES_MAX, Session};
use crate::statements::{Draft, Statements, stand_in_tag};
use crate::wire::read::Fields;
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::orders::{Order, Orders};
use forebay_core::{CloseReason, Refusal};

/// Longest message of these kinds that is waited for; a longer one goes to a backend.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// Looks at `input` until something in it needs a backend.
pub fn on_bytes(
    statements: &Statements,
    session: &mut Session,
    mut input: &[u8],
    orders: &mut Orders<Work>,
) {
    while !input.is_empty() {
        if session.ignored_left > 0 {
            input = ignore(session, input, orders);
            continue;
        }
        let header = match wire::header(input) {
            Ok(Some(header)) => header,
            Ok(None) => return orders.push(Order::Need(HEADER_BYTES)),
            Err(error) => return orders.refuse(Refusal::ProtocolViolation(error.as_str())),
        };
        if header.is_too_long() {
            return orders.refuse(Refusal::ProtocolViolation("invalid message length"));
        }
        match header.kind {
            b'X' => return orders.push(Order::Close(CloseReason::ClientQuit)),
            b'S' | b'H' if header.len != HEADER_BYTES => {
                return orders.refuse(Refusal::ProtocolViolation("invalid message length"));
            }
            // Copy data is left over from a COPY that failed: a server ignores it (`PostgresMain`).
            b'd' | b'c' | b'f' => {
                session.ignored_left = u32::try_from(header.len).expect("lengths are below 1 GiB");
                continue;
            }
            b'S' | b'H' | b'C' | b'P' if header.len <= SMALL_BYTES_MAX => {
                if header.len > input.len() {
                    return orders.push(Order::Need(header.len));
                }
                if !answer(
                    statements,
                    session,
                    header,
                    &input[HEADER_BYTES..header.len],
                    orders,
                ) {
                    return orders.push(Order::Lease);
                }
            }
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'F' => return orders.push(Order::Lease),
            _ => return orders.refuse(Refusal::ProtocolViolation("invalid frontend message type")),
        }
        orders.swallow(header.len);
        input = &input[header.len..];
    }
}

/// Swallows what is there of a message that nobody reads, and returns what follows it.
fn ignore<'i>(session: &mut Session, input: &'i [u8], orders: &mut Orders<Work>) -> &'i [u8] {
    let now = input.len().min(session.ignored_left as usize);
    orders.swallow(now);
    session.ignored_left -= u32::try_from(now).expect("no more than is left");
    &input[now..]
}

/// Answers a whole message, if that needs no backend.
fn answer(
    statements: &Statements,
    session: &mut Session,
    header: Header,
    body: &[u8],
    orders: &mut Orders<Work>,
) -> bool {
    match header.kind {
        b'S' => orders.to_client(|out| write::ready_for_query(out, b'I')),
        b'C' if closes_own(session, body) => {
            orders.to_client(|out| out.extend_from_slice(write::CLOSE_COMPLETE));
        }
        b'P' if prepares_known(statements, session, body) => {
            orders.to_client(|out| out.extend_from_slice(write::PARSE_COMPLETE));
        }
        // There is nothing to flush.
        b'H' => {}
        _ => return false,
    }
    true
}

/// Whether a Close is about one of the client's own names, or about nothing that a backend could still have.
fn closes_own(session: &mut Session, body: &[u8]) -> bool {
    match body {
        [b'S', 0] => {
            session.unnamed = None;
            true
        }
        [b'S', name @ .., 0] => session.prepared.remove(name) || session.pins.is_empty(),
        // Portals end with their transaction.
        [b'P', .., 0] => true,
        _ => false,
    }
}

/// Whether a Parse gives a new name to a statement that a backend has prepared already. Its Bind will find it, or prepare it again.
fn prepares_known(statements: &Statements, session: &mut Session, body: &[u8]) -> bool {
    let mut fields = Fields(body);
    let (Ok(name), Ok(text)) = (fields.string(), fields.string()) else {
        return false;
    };
    if name.is_empty()
        || name.len() > STATEMENT_NAME_BYTES_MAX
        || !session.prepared.has_room(name, text.len() + fields.0.len())
        || session.prepared.get(name).is_some()
    {
        return false;
    }
    let draft = Draft {
        scope: session.scope,
        text,
        types: fields.0,
        conforming: None,
        ..Draft::default()
    };
    let now = statements.meaning(&session.tracker);
    let known = now.and_then(|now| statements.proven(&draft, now));
    let Some(statement) = known.filter(|known| stand_in_tag(&known.effect).is_none()) else {
        return false;
    };
    session
        .prepared
        .insert(name.into(), statement, Segment::DONE);
    true
}

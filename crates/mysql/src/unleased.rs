//! A client's bytes while it has no backend: what needs none is answered here, anything else asks for one.

use crate::engine::{Shared, change_user};
use crate::login_cache::Work;
use crate::parting;
use crate::session::Session;
use crate::statements::{DATABASE, ROLE};
use crate::wire::command;
use crate::wire::response::RESPONSE_BYTES_MAX;
use crate::wire::{self, HEADER_BYTES};
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::{Interner, Map};
use forebay_core::{CloseReason, Refusal};

/// Looks at what a client sends that has no backend.
pub fn on_bytes(
    shared: &mut Shared,
    session: &mut Session,
    input: &[u8],
    orders: &mut Orders<Work>,
) {
    let mut input = input;
    loop {
        let Some(header) = wire::header(input) else {
            return;
        };
        session.begin(orders);
        if header.len == HEADER_BYTES || header.sequence != 0 {
            return orders.refuse(Refusal::ProtocolViolation("a command out of order"));
        }
        let Some(kind) = input.get(HEADER_BYTES) else {
            return;
        };
        if *kind == command::QUIT {
            return orders.push(Order::Close(CloseReason::ClientQuit));
        }
        if *kind == command::CHANGE_USER {
            if header.len > HEADER_BYTES + RESPONSE_BYTES_MAX {
                return orders.refuse(Refusal::ProtocolViolation("a malformed command"));
            }
            if input.len() < header.len {
                return orders.push(Order::Need(header.len));
            }
            orders.swallow(header.len);
            return change_user(shared, session, &input[HEADER_BYTES..header.len], orders);
        }
        if !is_answered(session, *kind, input) {
            return orders.push(Order::Lease);
        }
        if input.len() < header.len {
            return orders.push(Order::Need(header.len));
        }
        session.sequence = 0;
        answer(
            &mut shared.settings,
            session,
            &input[HEADER_BYTES..header.len],
            orders,
        );
        orders.swallow(header.len);
        input = &input[header.len..];
    }
}

/// Whether a command needs no backend.
fn is_answered(session: &Session, kind: u8, input: &[u8]) -> bool {
    match kind {
        command::PING => true,
        command::RESET_CONNECTION => session.after_reset.is_some(),
        command::STMT_CLOSE => {
            id_of(&input[HEADER_BYTES..]).is_some() || !session.prepared.is_empty()
        }
        _ => false,
    }
}

fn id_of(payload: &[u8]) -> Option<u32> {
    let id = payload.get(1..)?.first_chunk()?;
    Some(u32::from_le_bytes(*id))
}

fn answer(
    settings: &mut Interner,
    session: &mut Session,
    payload: &[u8],
    orders: &mut Orders<Work>,
) {
    match payload[0] {
        command::STMT_CLOSE => {
            if let Some(id) = id_of(payload) {
                session.prepared.remove(id);
            }
            return;
        }
        command::RESET_CONNECTION => {
            session.begin_anew(settings);
            parting::tell_limit(session, orders);
        }
        _ => session.left.on_nothing(),
    }
    orders.push(Order::Requests(1));
    session.write_ok(session.status, orders);
}

impl Session {
    /// What `COM_RESET_CONNECTION` does to a session: all but the database and the roles is as at the beginning, or as the server's own defaults.
    pub fn begin_anew(&mut self, settings: &mut Interner) {
        let kept = self.settings.map().iter();
        let kept = kept.filter(|(name, _)| [DATABASE, ROLE].contains(&&***name));
        let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
        let mut map: Map = kept.collect();
        if let Some(after) = &self.after_reset {
            let settings = after.settings.iter();
            map.extend(settings.map(|(name, value)| (name.clone(), value.clone())));
            self.status = after.status;
        }
        self.settings = settings.intern(map);
        self.forget();
        // What it left on any backend is not its own any more.
        self.marks = self.marks.wrapping_add(1);
    }
}

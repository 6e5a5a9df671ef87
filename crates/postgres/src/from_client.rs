//! What a client's message asks of its backend: forwarded as it is, renamed, answered here, or preceded by what the backend lacks.
//!
//! Only messages that can carry state are looked into. Everything else is counted through, whatever its size.
//!
//! | file | answers |
//! | --- | --- |
//! | `from_client/query.rs` | what a Query does |
//! | `from_client/parse.rs` | what a statement is known by, here and on its backend |
//! | `from_client/listen.rs` | what must be heard before a message is sent |
//! | `from_client/bind.rs` | which statement and portal a message is about |
//! | `from_client/plain.rs` | which names of statements SQL must find |
//! | `from_client/inventory.rs` | which of them a statement finds that lists them |

mod bind;
mod inventory;
mod listen;
mod meaning;
mod parse;
mod plain;
mod query;

use crate::backend::{Backend, Mark};
use crate::customs;
use crate::engine::Shared;
use crate::exchange::{Awaits, CopyIn, Expect};
use crate::listening;
use crate::login_cache::Work;
use crate::pinning;
use crate::said::Said;
use crate::sequences;
use crate::session::Session;
use crate::sql::Effect;
use crate::wire::read::Fields;
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::orders::{Order, Orders};
use forebay_core::{CloseReason, Instant, PinReason, Refusal};
use listen::Heard;

/// Longest query text that is looked into; anything longer streams through, and its backend counts as changed in unknown ways.
pub const QUERY_INSPECTED_BYTES_MAX: usize = 64 * 1024;
/// Longest message of the kinds that hold little more than names.
const NAMES_BYTES_MAX: usize = 64 * 1024;

/// `lo_open` and its like, by number (`pg_proc.dat`): what they open ends with the transaction.
const LARGE_OBJECT_FUNCTIONS: &[u32] = &[
    715, 764, 765, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172, 3457, 3458,
    3459, 3460,
];
/// What statements of ours are called that set again what a RESET took, or run something else behind a client's.
pub(crate) const RESTORING: &[u8] = b"fb_restore";
/// What a client reads that commits a LISTEN in ways that are not looked into, where the database cannot be listened to.
const CANNOT_LISTEN: &str = "the database cannot be listened to";
/// Most replies that are due at a time: the client's next message waits until half of them have come.
pub const EXPECTS_MAX: usize = 4096;

/// What became of the message at the front of the input.
enum Step {
    /// So many bytes were consumed.
    Took(usize),
    /// So many bytes must be there before it can be understood.
    Need(usize),
    /// Nothing more of this input can be used now.
    Stop,
}

/// One look at a client's bytes, with the backend that serves it.
pub struct FromClient<'a> {
    /// The worker's tables.
    pub shared: &'a mut Shared,
    /// Whose bytes.
    pub session: &'a mut Session,
    /// Its lease.
    pub backend: &'a mut Backend,
    /// When they came.
    pub now: Instant,
    /// Where to say what to do.
    pub orders: &'a mut Orders<Work>,
    /// Requests counted so far.
    requests: u32,
    /// LISTENs in the Query at hand.
    listens: usize,
}

impl<'a> FromClient<'a> {
    /// Ready to look.
    pub fn new(
        shared: &'a mut Shared,
        session: &'a mut Session,
        backend: &'a mut Backend,
        now: Instant,
        orders: &'a mut Orders<Work>,
    ) -> FromClient<'a> {
        FromClient {
            shared,
            session,
            backend,
            now,
            orders,
            requests: 0,
            listens: 0,
        }
    }

    /// Looks at all of `input`.
    pub fn run(mut self, input: &[u8]) {
        let mut rest = input;
        while !rest.is_empty() {
            let step = self.step(rest);
            match step {
                Step::Took(len) => {
                    rest = &rest[len..];
                    if self.was_ignored() {
                        listening::deliver(self.session, Some(self.backend), self.orders);
                        self.orders.push(Order::Release);
                        break;
                    }
                }
                Step::Need(len) => {
                    self.orders.push(Order::Need(len));
                    break;
                }
                Step::Stop => break,
            }
        }
        self.session.segment = self.backend.exchange.segment();
        if self.requests > 0 {
            self.orders.push(Order::Requests(self.requests));
        }
    }

    fn step(&mut self, rest: &[u8]) -> Step {
        let left = self.backend.exchange.from_client_left;
        if left > 0 {
            return Step::Took(self.pass(left, rest));
        }
        if self.backend.holding || self.session.listening.is_asking() {
            self.orders.push(Order::Pause);
            return Step::Stop;
        }
        match wire::header(rest) {
            Ok(Some(header)) => match self.must_wait(header) {
                Awaits::Nothing => self.message(header, rest),
                awaits => self.wait(awaits),
            },
            Ok(None) => Step::Need(HEADER_BYTES),
            Err(error) => self.violation(error.as_str()),
        }
    }

    /// Whether what was sent last earns no reply and leaves the backend as clean as it was: data of a COPY that has failed. No
    /// ReadyForQuery will come to end this lease.
    fn was_ignored(&self) -> bool {
        self.backend.exchange.is_clean() && self.session.pins.is_empty()
    }

    /// What a message waits for before it is understood: what is under way changes its meaning.
    fn must_wait(&self, header: Header) -> Awaits {
        let exchange = &self.backend.exchange;
        match (exchange.awaits, header.kind) {
            (Awaits::Nothing, _) if exchange.copy_in() == CopyIn::Maybe => Awaits::CopyIn,
            // COPY data belong to what was sent.
            (Awaits::Nothing, b'd' | b'c' | b'f') => Awaits::Nothing,
            (Awaits::Nothing, _) if exchange.len() >= EXPECTS_MAX => Awaits::Room,
            // Behind an error it is skipped, and the unnamed statement stays.
            (Awaits::Nothing, b'Q') if exchange.open_segment && !exchange.is_empty() => {
                Awaits::Answers
            }
            (Awaits::Nothing, b'S' | b'H' | b'X') if exchange.open_segment => Awaits::Nothing,
            (Awaits::Nothing, _) if exchange.open_segment && exchange.drops_names() => {
                Awaits::Drops
            }
            (Awaits::Nothing, _) if exchange.settling && !exchange.open_segment => Awaits::Settling,
            (awaits, _) => awaits,
        }
    }

    /// The client's next message is not understood before something has happened.
    fn wait(&mut self, awaits: Awaits) -> Step {
        let before = std::mem::replace(&mut self.backend.exchange.awaits, awaits);
        let within = match awaits {
            Awaits::Drops | Awaits::Answers => true,
            Awaits::CopyIn | Awaits::Room => self.backend.exchange.open_segment,
            Awaits::Nothing | Awaits::Segments | Awaits::Settling => false,
        };
        if within && before != awaits {
            // Within a segment the server keeps what it has to say, until it has much of it or is asked.
            self.orders
                .to_backend(|out| out.extend_from_slice(write::FLUSH));
        }
        self.orders.push(Order::Pause);
        Step::Stop
    }

    fn message(&mut self, header: Header, rest: &[u8]) -> Step {
        self.listens = 0;
        let exchange = &mut self.backend.exchange;
        exchange.settle();
        let is_read = !exchange.is_copying_in() || b"dcfHS".contains(&header.kind);
        if is_read && header.is_too_long() {
            return self.violation("invalid message length");
        }
        match header.kind {
            b'X' if !exchange.is_copying_in() => {
                // What was asked before is still answered.
                if exchange.is_empty() || exchange.skipping {
                    self.orders.push(Order::Close(CloseReason::ClientQuit));
                }
                return Step::Stop;
            }
            b'S' => return self.sync(header, rest),
            // What no COPY reads, the server ignores.
            b'd' => {
                exchange.copy_data();
                return Step::Took(self.pass(header.len, rest));
            }
            b'c' | b'f' => {
                exchange.end_copy_data();
                return Step::Took(self.pass(header.len, rest));
            }
            b'H' if exchange.is_copying_in() => return self.swallow_small(header, rest),
            kind if exchange.is_copying_in() => return self.breaks_copy(kind),
            // What the server skips, it may have: it ends with the client's Sync.
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'F' | b'H' if exchange.skipping => {
                return Step::Took(self.pass(header.len, rest));
            }
            _ => {}
        }
        match header.kind {
            b'Q' => self.query(header, rest),
            b'P' => self.parse(header, rest),
            b'B' => self.bind(header, rest),
            b'D' => self.describe(header, rest),
            b'E' => self.execute(header, rest),
            b'C' => self.close(header, rest),
            b'F' => self.function(header, rest),
            b'H' if header.len == HEADER_BYTES => Step::Took(self.pass(header.len, rest)),
            b'H' => self.violation("invalid message length"),
            _ => self.violation("invalid frontend message type"),
        }
    }

    /// A FunctionCall: what may be called leaves the session alone, or pins.
    fn function(&mut self, header: Header, rest: &[u8]) -> Step {
        let Some(body) = rest.get(HEADER_BYTES..header.len.min(HEADER_BYTES + 4)) else {
            return Step::Need(header.len.min(HEADER_BYTES + 4));
        };
        match self.hear_for_end(&[Effect::Pin(PinReason::ProcedureCall)]) {
            Heard::Yes => {}
            Heard::NotYet(step) => return step,
            Heard::Never(_) => return self.violation(CANNOT_LISTEN),
        }
        self.requests += 1;
        let function = Fields(body).u32().unwrap_or_default();
        if LARGE_OBJECT_FUNCTIONS.binary_search(&function).is_err() {
            self.note(&[Effect::Pin(PinReason::ProcedureCall)], None);
        }
        self.backend.exchange.push(Expect::Function(self.now));
        Step::Took(self.pass(header.len, rest))
    }

    /// The server would fail the COPY and then not find the end of this message (`CopyGetData`, `PostgresMain`).
    fn breaks_copy(&mut self, kind: u8) -> Step {
        let text = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
        if !self.session.midway {
            self.orders
                .to_client(|out| write::error(out, "ERROR", "08P01", &text));
        }
        self.violation("terminating connection because protocol synchronization was lost")
    }

    fn violation(&mut self, what: &'static str) -> Step {
        self.orders.refuse(Refusal::ProtocolViolation(what));
        Step::Stop
    }

    /// Forwards a message of `len` bytes, as far as it is there.
    fn pass(&mut self, len: usize, rest: &[u8]) -> usize {
        let now = len.min(rest.len());
        self.orders.forward(now);
        self.backend.exchange.from_client_left = len - now;
        now
    }

    fn swallow_small(&mut self, header: Header, rest: &[u8]) -> Step {
        if header.len > rest.len() {
            return if header.len <= NAMES_BYTES_MAX {
                Step::Need(header.len)
            } else {
                self.violation("invalid message length")
            };
        }
        self.orders.swallow(header.len);
        Step::Took(header.len)
    }

    /// The body of a message that must be whole to be understood.
    fn whole<'b>(&mut self, header: Header, rest: &'b [u8], max: usize) -> Result<&'b [u8], Step> {
        if header.len <= rest.len() {
            Ok(&rest[HEADER_BYTES..header.len])
        } else if header.len <= max {
            Err(Step::Need(header.len))
        } else {
            Err(self.violation("message is too long"))
        }
    }

    fn sync(&mut self, header: Header, rest: &[u8]) -> Step {
        if self.backend.exchange.is_copying_in() {
            // The server that reads data ignores it, whatever it holds.
            if header.len == HEADER_BYTES {
                self.backend.exchange.hold_sync();
            }
            return self.swallow_small(header, rest);
        }
        if header.len != HEADER_BYTES {
            return self.violation("invalid message length");
        }
        match self.hear_for_end(&[]) {
            Heard::Yes => {}
            Heard::NotYet(step) => return step,
            Heard::Never(words) => self.send_denied(words),
        }
        self.backend.exchange.push(Expect::Sync(self.now));
        Step::Took(self.pass(header.len, rest))
    }

    /// What statements that are sent together do the moment they are, whatever becomes of them. Their text is looked into again only once
    /// for all of them.
    fn note(&mut self, effects: &[Effect], said: Option<Said<'_>>) {
        if effects.iter().any(sequences::is_question) {
            self.note_question();
        }
        let customs = effects.iter().flat_map(customs::named_by);
        self.backend
            .note_customs(customs, &mut self.shared.settings);
        for effect in effects {
            self.note_one(effect, said);
        }
        let is_unseen = |effect: &Effect| {
            matches!(effect, Effect::Opaque | Effect::CopyIn | Effect::Execute(_))
        };
        let unseen = effects.iter().any(is_unseen);
        if unseen || effects.iter().any(|effect| !effect.pins().is_empty()) {
            self.note_taint(said);
        }
        if unseen {
            self.learn(said);
        }
        let sets = |reason| matches!(reason, &PinReason::SetConfig | &PinReason::UntrackedSetting);
        if effects.iter().any(|effect| effect.pins().iter().any(sets)) {
            self.name_settings(said);
        }
    }

    fn note_one(&mut self, effect: &Effect, said: Option<Said<'_>>) {
        if self.is_said_in_another_encoding(effect) {
            // Whatever is filtered: it is tracked, and with a value that may be another.
            pinning::keep(
                self.session,
                self.backend,
                PinReason::UntrackedSetting,
                said,
            );
        }
        if !self.backend.init_query.is_empty() && effect.resets() {
            // It also takes away what the initialization query had set.
            self.backend.suspect = Some(Mark::NOBODY);
        }
        self.pin_unheard(effect, said);
        self.unsettle(effect);
        let ends = effect.may_end_transaction() || matches!(effect, Effect::RollbackTo(_));
        if effect.changes_names()
            || self.session.tracker.loses_baseline(effect)
            || (ends && self.session.tracker.restores_again())
        {
            self.backend.exchange.settling = true;
        }
        match effect {
            Effect::Pure => return,
            Effect::Opaque | Effect::CopyIn | Effect::Execute(_) => {}
            Effect::Pin(_) | Effect::PinMany(_) => {
                for reason in effect.pins() {
                    pinning::pin(self.session, self.backend, *reason, said);
                }
            }
            _ => return,
        }
        self.session.suspect(self.backend);
    }

    /// A statement is sent whose text does not tell what it does: behind it the server is asked, unless it has been seen often enough.
    fn learn(&mut self, said: Option<Said<'_>>) {
        let Some(said) = said else { return };
        let fingerprint = said.fingerprint();
        let scope = self.shared.statements.code_scope(self.session.scope);
        if self.shared.verdicts.asks(scope, fingerprint) {
            let looks_up = self.shared.verdicts.looks_up(scope, fingerprint);
            let asks = self.backend.exchange.asks();
            asks.mentioned |= looks_up;
            asks.learn(fingerprint);
            asks.said.get_or_insert_with(|| Box::new(said.shape()));
            asks.name(said.settings().unwrap_or_default());
        }
        self.session.sequences.made_by(fingerprint);
        if self.shared.verdicts.is_asked_about(scope, fingerprint) {
            self.backend.exchange.keeps_sequences = true;
            pinning::pin(
                self.session,
                self.backend,
                PinReason::SequenceState,
                Some(said),
            );
        }
    }

    /// A statement is sent that asks for values which the session made. On a backend that does not remember them it fails; the next
    /// ones are kept.
    fn note_question(&mut self) {
        let session = &mut *self.session;
        session.sequences.asked = true;
        self.backend.exchange.keeps_sequences = true;
        if self.backend.suspect != Some(session.mark()) {
            let scope = self.shared.statements.code_scope(session.scope);
            for maker in session.sequences.makers() {
                self.shared.verdicts.was_asked_about(scope, maker);
            }
        }
    }

    /// A statement is sent that sets something which its text does not tell: which setting that may be.
    fn name_settings(&mut self, said: Option<Said<'_>>) {
        match said.and_then(Said::settings) {
            Some(names) => self.backend.exchange.asks().name(names),
            None => self.session.settings_unknown = true,
        }
    }
}

impl FromClient<'_> {
    /// A statement that may do anything calls a function that an operator has named: its backend ends with this session.
    fn note_taint(&mut self, said: Option<Said<'_>>) {
        let functions = &self.session.rules.tainting_functions;
        let taints = PinReason::TaintingFunction;
        if functions.is_empty() || self.session.pins.contains(taints) {
            return;
        }
        if said.is_some_and(|said| said.calls(functions)) {
            pinning::pin(self.session, self.backend, taints, said);
        }
    }
}

/// Says whatever is ours to say and whose turn it is; not while the client has read half a message of the backend's.
pub fn answer_locals(backend: &mut Backend, orders: &mut Orders<Work>) {
    while backend.exchange.from_backend_left == 0 {
        let reply = match backend.exchange.front() {
            Some(Expect::LocalParse(_)) => write::PARSE_COMPLETE,
            Some(Expect::LocalClose(_)) => write::CLOSE_COMPLETE,
            _ => return,
        };
        backend.exchange.pop();
        orders.to_client(|out| out.extend_from_slice(reply));
    }
}

//! What a client's message asks of its backend: forwarded as it is, renamed, answered here, or preceded by what the backend lacks.
//!
//! Only messages that can carry state are looked into. Everything else is counted through, whatever its size.

use crate::backend::Backend;
use crate::engine::Shared;
use crate::exchange::{About, Expect, ExpectParse, ExpectQuery, LocalClose, LocalParse, Settling};
use crate::login_cache::Work;
use crate::pinning;
use crate::session::{PREPARED_MAX, Session};
use crate::sql::{self, Class, Effect};
use crate::statements::{self, STAND_IN, STATEMENT_BYTES_MAX, Statement, conforming_strings};
use crate::wire::read::Fields;
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::orders::{Order, Orders};
use forebay_core::{CloseReason, Instant, PinReason, Refusal};
use std::sync::Arc;

/// Longest query text that is looked into; anything longer streams through, and its backend counts as changed in unknown ways.
const QUERY_INSPECTED_BYTES_MAX: usize = 64 * 1024;
/// Longest message of the kinds that hold little more than names.
const NAMES_BYTES_MAX: usize = 64 * 1024;

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
        if self.requests > 0 {
            self.orders.push(Order::Requests(self.requests));
        }
    }

    fn step(&mut self, rest: &[u8]) -> Step {
        let left = self.backend.exchange.from_client_left;
        if left > 0 {
            return Step::Took(self.pass(left, rest));
        }
        if self.backend.holding {
            self.orders.push(Order::Pause);
            return Step::Stop;
        }
        match wire::header(rest) {
            Ok(Some(header)) if self.must_wait(header) => {
                if self.backend.exchange.settling == Settling::Sent {
                    self.backend.exchange.settling = Settling::Awaited;
                }
                self.orders.push(Order::Pause);
                Step::Stop
            }
            Ok(Some(header)) => self.message(header, rest),
            Ok(None) => Step::Need(HEADER_BYTES),
            Err(error) => self.violation(error.as_str()),
        }
    }

    /// Whether what was sent last earns no reply and leaves the backend as clean as it was: data of a COPY that has failed. No
    /// ReadyForQuery will come to end this lease.
    fn was_ignored(&self) -> bool {
        self.backend.exchange.is_clean() && self.session.pin.is_none()
    }

    /// Whether a message must not be understood yet: what is under way changes its meaning.
    fn must_wait(&self, header: Header) -> bool {
        let exchange = &self.backend.exchange;
        if exchange.settling == Settling::Doubted {
            return true;
        }
        exchange.settling != Settling::No
            && !exchange.open_segment
            // COPY data belong to what was sent.
            && !matches!(header.kind, b'd' | b'c' | b'f')
    }

    fn message(&mut self, header: Header, rest: &[u8]) -> Step {
        let exchange = &mut self.backend.exchange;
        match header.kind {
            b'X' => {
                // What was asked before is still answered.
                if exchange.is_empty() || exchange.skipping {
                    self.orders.push(Order::Close(CloseReason::ClientQuit));
                }
                return Step::Stop;
            }
            b'S' => return self.sync(header, rest),
            b'd' => return Step::Took(self.pass(header.len, rest)),
            b'c' | b'f' => {
                if exchange.copying_in {
                    exchange.copying_in = false;
                } else if !exchange.is_empty() {
                    exchange.push(Expect::CopyEnd);
                }
                return Step::Took(self.pass(header.len, rest));
            }
            b'H' if exchange.copying_in => return self.swallow_small(header, rest),
            _ if exchange.copying_in => {
                return self.violation("unexpected message type during COPY from stdin");
            }
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
            b'F' => {
                self.requests += 1;
                self.note(&Effect::Opaque);
                self.backend.exchange.push(Expect::Function(self.now));
                Step::Took(self.pass(header.len, rest))
            }
            b'H' if header.len == HEADER_BYTES => Step::Took(self.pass(header.len, rest)),
            b'H' => self.violation("invalid message length"),
            _ => self.violation("invalid frontend message type"),
        }
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
        if header.len != HEADER_BYTES {
            return self.violation("invalid message length");
        }
        if self.backend.exchange.copying_in {
            // The server ignores it and earns no reply with it (`CopyGetData`).
            return self.swallow_small(header, rest);
        }
        self.backend.exchange.push(Expect::Sync(self.now));
        Step::Took(self.pass(header.len, rest))
    }

    /// What a statement does the moment it is sent, whatever becomes of it.
    fn note(&mut self, effect: &Effect) {
        let drops = matches!(
            effect,
            Effect::DiscardAll | Effect::DeallocateAll | Effect::Deallocate(_)
        );
        if drops || self.session.tracker.loses_baseline(effect) {
            self.backend.exchange.settling = Settling::Sent;
        }
        match effect {
            Effect::Pure => return,
            Effect::Opaque => {}
            Effect::Pin(reason) => pinning::pin(self.session, self.backend, *reason, self.orders),
            Effect::PinMany(reasons) => {
                let first = reasons
                    .first()
                    .copied()
                    .unwrap_or(PinReason::UntrackedSetting);
                pinning::pin(self.session, self.backend, first, self.orders);
            }
            _ => return,
        }
        self.backend.suspect = Some(self.session.id);
    }

    fn query(&mut self, header: Header, rest: &[u8]) -> Step {
        if header.len > QUERY_INSPECTED_BYTES_MAX {
            return self.long_query(header, rest);
        }
        let body = match self.whole(header, rest, QUERY_INSPECTED_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let Some((0, text)) = body.split_last() else {
            return self.violation("invalid message format");
        };
        self.requests += 1;
        self.forget_unnamed();
        let conforming = conforming_strings(&self.session.tracker);
        let effects = match sql::classify(text, conforming) {
            Class::Pure => {
                self.backend.exchange.push(Expect::PlainQuery(self.now));
                return Step::Took(self.pass(header.len, rest));
            }
            Class::Statements(effects) => effects,
        };
        effects.iter().for_each(|effect| self.note(effect));
        let stands_in = effects.len() == 1 && self.is_virtual(&effects[0]);
        let tag = if stands_in {
            statements::stand_in_tag(&effects[0])
        } else {
            None
        };
        self.backend
            .exchange
            .push(Expect::Query(Box::new(ExpectQuery {
                effects,
                done: 0,
                since: self.now,
                tag: tag.map(Box::from),
            })));
        if tag.is_some() {
            self.orders.to_backend(|out| write::query(out, STAND_IN));
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        Step::Took(self.pass(header.len, rest))
    }

    /// A Query ends the unnamed statement. To be noted only when it is sent: until then the lease may end.
    fn forget_unnamed(&mut self) {
        self.session.unnamed = None;
        self.backend.unnamed = None;
    }

    /// A query too long to be looked into: what it did is read off the tags of its answer.
    fn long_query(&mut self, header: Header, rest: &[u8]) -> Step {
        self.requests += 1;
        self.forget_unnamed();
        self.note(&Effect::Opaque);
        self.backend
            .exchange
            .push(Expect::Query(Box::new(ExpectQuery {
                effects: Vec::new(),
                done: 0,
                since: self.now,
                tag: None,
            })));
        Step::Took(self.pass(header.len, rest))
    }

    /// Whether a DEALLOCATE speaks of names that exist only here.
    fn is_virtual(&self, effect: &Effect) -> bool {
        match effect {
            Effect::DeallocateAll => self.session.pin != Some(PinReason::SqlPrepare),
            Effect::Deallocate(name) => self.session.prepared.get(name.as_bytes()).is_some(),
            _ => false,
        }
    }

    fn parse(&mut self, header: Header, rest: &[u8]) -> Step {
        if header.len > STATEMENT_BYTES_MAX {
            return self.long_parse(header, rest);
        }
        let body = match self.whole(header, rest, STATEMENT_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let mut fields = Fields(body);
        let (Ok(name), Ok(text)) = (fields.string(), fields.string()) else {
            return self.violation("invalid message format");
        };
        let types = fields.0;
        if self.is_in_doubt(name) {
            self.backend.exchange.settling = Settling::Doubted;
            self.orders.push(Order::Pause);
            return Step::Stop;
        }
        if !name.is_empty() {
            self.part_from_strangers();
        }
        self.backend.exchange.open_segment = true;
        if name.is_empty() {
            self.parse_unnamed(header, rest, text, types)
        } else {
            self.parse_named(header, name, text, types)
        }
    }

    /// Whether it depends on a segment under way if this name is taken.
    fn is_in_doubt(&self, name: &[u8]) -> bool {
        let exchange = &self.backend.exchange;
        exchange.segments() > 0 && self.session.prepared.get(name).is_some()
    }

    /// A statement too long to be kept: it lives on this backend alone, so the session keeps the backend.
    fn long_parse(&mut self, header: Header, rest: &[u8]) -> Step {
        pinning::pin(
            self.session,
            self.backend,
            PinReason::SqlPrepare,
            self.orders,
        );
        self.backend.suspect = Some(self.session.id);
        self.part_from_strangers();
        let (before, there) = (self.session.unnamed.take(), self.backend.unnamed.take());
        self.backend.exchange.open_segment = true;
        self.backend
            .exchange
            .push(Expect::ParseUnnamed { before, there });
        Step::Took(self.pass(header.len, rest))
    }

    fn parse_unnamed(&mut self, header: Header, rest: &[u8], text: &[u8], types: &[u8]) -> Step {
        let (before, there) = (self.session.unnamed.clone(), self.backend.unnamed.clone());
        self.backend
            .exchange
            .push(Expect::ParseUnnamed { before, there });
        let same = |known: &&Arc<Statement>| *known.text == *text && *known.types == *types;
        // Its effect was judged under the same settings, or is judged again at the next difference.
        if let Some(known) = self.session.unnamed.as_ref().filter(same)
            && known.tag.is_none()
        {
            self.backend.unnamed = Some(Arc::clone(known));
            return Step::Took(self.pass(header.len, rest));
        }
        let mut statement = Statement::unnamed(&self.session.tracker, text, types);
        let tag = statements::stand_in_tag(&statement.effect)
            .filter(|_| self.is_virtual(&statement.effect));
        if let Some(tag) = tag {
            statement = statement.stand_in(tag);
        }
        self.session.unnamed = Some(Arc::clone(&statement));
        self.backend.unnamed = Some(Arc::clone(&statement));
        if tag.is_some() {
            self.orders
                .to_backend(|out| write::parse(out, b"", &statement.text, types));
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        Step::Took(self.pass(header.len, rest))
    }

    fn parse_named(&mut self, header: Header, name: &[u8], text: &[u8], types: &[u8]) -> Step {
        if let Some(known) = self.session.prepared.get(name).cloned() {
            // The server is made to say so itself, so that what it skips and what it fails are as they should be.
            self.ensure_prepared(&known);
            self.orders
                .to_backend(|out| write::parse(out, known.name.as_bytes(), text, types));
            self.backend
                .exchange
                .push(Expect::DuplicateName(name.into()));
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        if self.session.prepared.count() >= PREPARED_MAX {
            return self.violation("too many prepared statements");
        }
        let mut statement = self
            .shared
            .statements
            .named(&self.session.tracker, text, types);
        if let Some(tag) = statements::stand_in_tag(&statement.effect)
            .filter(|_| self.is_virtual(&statement.effect))
        {
            statement = statement.stand_in(tag);
        }
        self.session
            .prepared
            .insert(name.into(), Arc::clone(&statement));
        let exchange = &mut self.backend.exchange;
        if self.backend.prepared.contains(&statement.name) {
            if exchange.segments() == 0 && exchange.status != b'E' {
                exchange.push(Expect::LocalParse(Box::new(LocalParse {
                    client_name: name.into(),
                })));
                self.orders.swallow(header.len);
                answer_locals(self.backend, self.orders);
                return Step::Took(header.len);
            }
            // Whether the transaction will have failed by then is not known: the server decides.
            self.orders
                .to_backend(|out| write::close(out, b'S', statement.name.as_bytes()));
            let of = Some(statement.name);
            exchange.push(Expect::Close { swallow: true, of });
            self.backend.prepared.remove(&statement.name);
        }
        self.send_parse(&statement, Some(name.into()));
        self.orders.swallow(header.len);
        Step::Took(header.len)
    }

    /// Prepares a statement on the backend under its name of ours.
    fn send_parse(&mut self, statement: &Arc<Statement>, client_name: Option<Box<[u8]>>) {
        if let Some(oldest) = self.backend.prepared.insert(statement.name) {
            self.orders
                .to_backend(|out| write::close(out, b'S', oldest.as_bytes()));
            let of = Some(oldest);
            self.backend
                .exchange
                .push(Expect::Close { swallow: true, of });
        }
        self.orders.to_backend(|out| {
            write::parse(
                out,
                statement.name.as_bytes(),
                &statement.text,
                &statement.types,
            );
        });
        if client_name.is_none() {
            self.orders.push(Order::Reprepared);
        }
        let statement = Arc::clone(statement);
        self.backend
            .exchange
            .push(Expect::Parse(Box::new(ExpectParse {
                statement,
                client_name,
            })));
    }

    fn ensure_prepared(&mut self, statement: &Arc<Statement>) {
        if !self.backend.prepared.contains(&statement.name) {
            self.send_parse(statement, None);
        }
    }

    /// Another session's unnamed statement leaves the backend with the first message of a segment, which an error cannot skip;
    /// behind an error, a later message might find it.
    fn part_from_strangers(&mut self) {
        let Some(there) = &self.backend.unnamed else {
            return;
        };
        let own = self.session.unnamed.as_ref();
        if self.backend.exchange.open_segment || own.is_some_and(|own| Arc::ptr_eq(own, there)) {
            return;
        }
        self.orders.to_backend(|out| write::close(out, b'S', b""));
        self.backend.exchange.push(Expect::Close {
            swallow: true,
            of: None,
        });
        self.backend.unnamed = None;
    }

    /// Makes sure that the backend's unnamed statement is this session's, or none.
    fn ensure_unnamed(&mut self) {
        match (&self.session.unnamed, &self.backend.unnamed) {
            (Some(wanted), Some(there)) if Arc::ptr_eq(wanted, there) => {}
            (Some(wanted), _) => {
                let wanted = Arc::clone(wanted);
                self.orders
                    .to_backend(|out| write::parse(out, b"", &wanted.text, &wanted.types));
                let there = self.backend.unnamed.replace(wanted);
                self.backend.exchange.push(Expect::ReparseUnnamed { there });
                self.orders.push(Order::Reprepared);
            }
            (None, Some(_)) => {
                // Another session's: it must not be found.
                self.orders.to_backend(|out| write::close(out, b'S', b""));
                self.backend.exchange.push(Expect::Close {
                    swallow: true,
                    of: None,
                });
                self.backend.unnamed = None;
            }
            (None, None) => {}
        }
    }

    fn about(&self, name: &[u8], statement: &Arc<Statement>) -> About {
        About {
            statement: Some(Arc::clone(statement)),
            client_name: (self.backend.exchange.segments() > 0).then(|| name.into()),
        }
    }

    fn bind(&mut self, header: Header, rest: &[u8]) -> Step {
        let seen = &rest[HEADER_BYTES..header.len.min(rest.len())];
        let mut fields = Fields(seen);
        let (Ok(portal), Ok(name)) = (fields.string(), fields.string()) else {
            return if header.len <= rest.len() || seen.len() > NAMES_BYTES_MAX {
                self.violation("invalid message format")
            } else {
                Step::Need(header.len.min(rest.len() + 256))
            };
        };
        if !name.is_empty() {
            self.part_from_strangers();
        }
        self.backend.exchange.open_segment = true;
        if name.is_empty() {
            self.ensure_unnamed();
            self.backend
                .exchange
                .bind_portal(portal, self.session.unnamed.as_ref());
            self.backend.exchange.push(Expect::Bind(About::default()));
            return Step::Took(self.pass(header.len, rest));
        }
        let Some(statement) = self.session.prepared.get(name).cloned() else {
            // The server says that there is no such statement.
            self.backend.exchange.push(Expect::Bind(About::default()));
            return Step::Took(self.pass(header.len, rest));
        };
        self.ensure_prepared(&statement);
        self.backend.exchange.bind_portal(portal, Some(&statement));
        let about = self.about(name, &statement);
        self.backend.exchange.push(Expect::Bind(about));
        let head = HEADER_BYTES + portal.len() + 1 + name.len() + 1;
        self.orders.to_backend(|out| {
            let renamed = statement.name.as_bytes();
            let len = header.len - 1 - name.len() + renamed.len();
            out.push(b'B');
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            write::string(out, portal);
            write::string(out, renamed);
        });
        self.orders.swallow(head);
        Step::Took(head + self.pass(header.len - head, &rest[head..]))
    }

    fn describe(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.whole(header, rest, NAMES_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        if body != b"S\0" {
            self.part_from_strangers();
        }
        self.backend.exchange.open_segment = true;
        match body {
            [b'S', 0] => self.ensure_unnamed(),
            [b'S', name @ .., 0] => {
                if let Some(statement) = self.session.prepared.get(name).cloned() {
                    self.ensure_prepared(&statement);
                    let about = self.about(name, &statement);
                    self.backend.exchange.push(Expect::Describe(about));
                    self.orders.to_backend(|out| {
                        write::message(out, b'D', |out| {
                            out.push(b'S');
                            write::string(out, statement.name.as_bytes());
                        });
                    });
                    self.orders.swallow(header.len);
                    return Step::Took(header.len);
                }
            }
            [b'P', .., 0] => {}
            _ => return self.violation("invalid message format"),
        }
        self.backend
            .exchange
            .push(Expect::Describe(About::default()));
        Step::Took(self.pass(header.len, rest))
    }

    fn execute(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.whole(header, rest, NAMES_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let Ok(portal) = Fields(body).string() else {
            return self.violation("invalid message format");
        };
        self.requests += 1;
        self.part_from_strangers();
        self.backend.exchange.open_segment = true;
        let statement = self.backend.exchange.portal(portal).cloned();
        if let Some(statement) = &statement {
            self.note(&statement.effect);
        }
        self.backend.exchange.push(Expect::Execute(statement));
        Step::Took(self.pass(header.len, rest))
    }

    fn close(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.whole(header, rest, NAMES_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        self.part_from_strangers();
        self.backend.exchange.open_segment = true;
        match body {
            [b'S', 0] => {
                let (before, there) = (self.session.unnamed.take(), self.backend.unnamed.take());
                self.backend
                    .exchange
                    .push(Expect::CloseUnnamed { before, there });
                return Step::Took(self.pass(header.len, rest));
            }
            [b'S', name @ .., 0] => {
                // The statement itself stays on the backend: others may be using it.
                if let Some(statement) = self.session.prepared.get(name).cloned() {
                    self.session.prepared.remove(name);
                    let client_name = name.into();
                    let close = LocalClose {
                        client_name,
                        statement,
                    };
                    self.backend
                        .exchange
                        .push(Expect::LocalClose(Box::new(close)));
                    self.orders.swallow(header.len);
                    answer_locals(self.backend, self.orders);
                    return Step::Took(header.len);
                }
            }
            [b'P', .., 0] => {}
            _ => return self.violation("invalid message format"),
        }
        self.backend.exchange.push(Expect::Close {
            swallow: false,
            of: None,
        });
        Step::Took(self.pass(header.len, rest))
    }
}

/// Says whatever is ours to say and whose turn it is; not while the client has read half a message of the backend's.
pub fn answer_locals(backend: &mut Backend, orders: &mut Orders<Work>) {
    while backend.exchange.from_backend_left == 0 {
        let reply = match backend.exchange.front() {
            Some(Expect::LocalParse(_)) => write::PARSE_COMPLETE,
            Some(Expect::LocalClose(_)) => write::CLOSE_COMPLETE,
            Some(Expect::CopyEnd) => b"",
            _ => return,
        };
        backend.exchange.pop();
        orders.to_client(|out| out.extend_from_slice(reply));
    }
}

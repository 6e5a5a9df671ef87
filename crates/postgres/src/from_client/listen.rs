//! What must be heard before a message is sent: the channels of a LISTEN that it may commit, and what others have told on the backend.
//!
//! A message that may commit a LISTEN waits until its channels are heard, one that may notify until it is known which notifications are
//! not its own. See `listening.rs`.

use super::{FromClient, Step};
use crate::errors::Words;
use crate::exchange::{Awaits, Expect};
use crate::listening::{Answer, reads_payloads};
use crate::pinning;
use crate::reports;
use crate::said::Said;
use crate::sql::Effect;
use crate::wire::write;
use forebay_core::PinReason;
use forebay_core::orders::Order;

/// What stands where a LISTEN or its commit cannot be; the server refuses it, whatever the state of its transaction.
const NO_STATEMENT: &[u8] = b"(";

/// The name under which the server is to refuse it: an unnamed statement stays.
const NOBODY: &[u8] = b"fb_denied";

/// What becomes of the message at hand.
pub(super) enum Heard {
    /// It may be sent.
    Yes,
    /// It waits.
    NotYet(Step),
    /// The database cannot be listened to: in its place comes an error.
    Never(Box<Words>),
}

impl FromClient<'_> {
    /// Whether nothing but the end of the open transaction commits what these statements do.
    fn is_in_transaction(&self, effects: &[Effect]) -> bool {
        let exchange = &self.backend.exchange;
        exchange.status != b'I'
            && exchange.segments() == 0
            && !effects.iter().any(Effect::may_end_transaction)
    }

    /// A Query is about to be sent.
    pub(super) fn hear_for_query(&mut self, effects: &[Effect]) -> Heard {
        let own = effects.iter().filter_map(|effect| self.own_channel(effect));
        let own: Vec<String> = own.map(str::to_owned).collect();
        // Alone, a ROLLBACK commits nothing.
        let undoes = matches!(effects, [Effect::Rollback { .. }]);
        let commits = !undoes && !self.is_in_transaction(effects);
        let heard = self.hear(effects, &own, commits);
        match heard {
            Heard::Yes if commits => {
                let segment = self.backend.exchange.segment();
                self.session.listening.cover(&own, segment);
            }
            Heard::Yes => self.note_channels(&own),
            Heard::NotYet(_) | Heard::Never(_) => {}
        }
        heard
    }

    /// An Execute is about to be sent: it commits what came before it, or what it does is committed by what comes behind.
    pub(super) fn hear_for_execute(&mut self, effect: &Effect) -> Heard {
        let own = self.own_channel(effect).map(str::to_owned);
        // Outside of a transaction block a procedure may commit what came before it in its segment.
        let exchange = &self.backend.exchange;
        let outside = exchange.status == b'I' || exchange.segments() > 0;
        let commits = effect.may_commit() || (outside && matches!(effect, Effect::Opaque));
        let heard = self.hear(std::slice::from_ref(effect), &[], commits);
        if let Heard::Yes = heard {
            self.note_channels(own.as_slice());
        }
        heard
    }

    /// A Sync, or a Query that nobody looks into, is about to be sent.
    pub(super) fn hear_for_end(&mut self, effects: &[Effect]) -> Heard {
        let listening = &self.session.listening;
        if !listening.has_noted() && !listening.is_answered() && effects.is_empty() {
            return Heard::Yes;
        }
        let ends = effects.iter().any(Effect::may_end_transaction);
        let settled = self.backend.exchange.status != b'I' && self.backend.exchange.segments() == 0;
        self.hear(effects, &[], ends || !settled)
    }

    fn note_channels(&mut self, own: &[String]) {
        let segment = self.backend.exchange.segment();
        for name in own {
            self.session.listening.note(name, segment);
        }
    }

    /// The channel of a LISTEN, if it is one that is heard for all.
    fn own_channel<'e>(&self, effect: &'e Effect) -> Option<&'e str> {
        match effect {
            Effect::Listen(name) if self.is_heard_for_all(name) => Some(name),
            _ => None,
        }
    }

    /// Whether what is told on this channel can be told on, byte for byte.
    pub(super) fn is_heard_for_all(&self, name: &str) -> bool {
        let reports = &self.backend.reports;
        let utf8 = |name| reports::value(reports, name) == Some(b"UTF8");
        reads_payloads(&self.session.reports)
            && (name.is_ascii() || (utf8(b"client_encoding") && utf8(b"server_encoding")))
            && self.has_room_for_listens()
    }

    /// Whether all LISTENs of the message at hand have room beside those of earlier ones, even should none of them repeat another.
    fn has_room_for_listens(&self) -> bool {
        let count = self.session.listening.noted() + self.listens.max(1);
        self.session.tracker.has_room_for_channels(count)
    }

    /// A LISTEN that only its own backend can do.
    pub(super) fn pin_unheard(&mut self, effect: &Effect, said: Option<Said<'_>>) {
        if let Effect::Listen(name) = effect
            && !self.is_heard_for_all(name)
        {
            pinning::pin(self.session, self.backend, PinReason::Listen, said);
        }
    }

    fn hear(&mut self, effects: &[Effect], own: &[String], commits: bool) -> Heard {
        let segment = self.backend.exchange.segment();
        let granted = match self.session.listening.take_answer(segment) {
            Answer::Granted => {
                // What others have done here was told before that answer.
                if std::mem::take(&mut self.backend.stirred) {
                    self.session.listening.part_from_kept();
                }
                true
            }
            // The message that asked may have been skipped since.
            Answer::Denied(_) if self.backend.exchange.skipping => return Heard::Yes,
            Answer::Denied(words) => return Heard::Never(Box::new(words)),
            Answer::None => false,
        };
        if commits
            && !granted
            && self.session.listening.has_covered()
            && effects.iter().any(Effect::may_end_transaction)
        {
            // Whether the transaction goes on that this one ends is known by its answer.
            if self.backend.exchange.segments() > 0 {
                return Heard::NotYet(self.wait(Awaits::Segments));
            }
            if !self.backend.exchange.is_empty() {
                return Heard::NotYet(self.wait(Awaits::Answers));
            }
        }
        let names = own.iter().map(String::as_str);
        let channels = match commits {
            true => self.session.listening.to_ask(names),
            false => Vec::new(),
        };
        let stirs =
            self.backend.stirred && self.session.hears() && effects.iter().any(Effect::may_notify);
        if channels.is_empty() && !stirs {
            return Heard::Yes;
        }
        let number = self.session.listening.ask(channels.clone());
        self.orders.push(Order::Subscribe { number, channels });
        self.orders.push(Order::Pause);
        Heard::NotYet(Step::Stop)
    }

    /// Sends what the server refuses; the client reads that the database cannot be listened to.
    pub(super) fn send_denied(&mut self, words: Box<Words>) {
        self.orders
            .to_backend(|out| write::parse(out, NOBODY, NO_STATEMENT, &[0; 2]));
        self.backend.exchange.open_segment = true;
        self.backend.exchange.push(Expect::Denied(words));
    }

    /// The same in the place of a Query.
    pub(super) fn send_denied_query(&mut self, words: Box<Words>) {
        self.forget_unnamed();
        self.orders.to_backend(|out| write::close(out, b'S', b""));
        self.backend.exchange.push(Expect::Close {
            swallow: true,
            of: None,
        });
        self.send_denied(words);
        self.orders
            .to_backend(|out| out.extend_from_slice(write::SYNC));
        self.backend.exchange.push(Expect::Sync(self.now));
    }
}

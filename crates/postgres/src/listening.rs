//! What a session that listens waits for, and what it was told and has not read yet.
//!
//! One connection listens for all sessions of a database. A LISTEN still goes to the session's own backend, which decides whether it
//! succeeds; but before a message is sent that may commit it, the data plane is asked to have the channel heard. What is told from then
//! on is kept until the commit is known, so that nothing is lost that is told behind it, and nothing is shown that was told before it.
//!
//! ```text
//!   LISTEN sent ─► Fresh ─ask─► asked ─on_subscribed─► Covered ─message that may commit is sent─► committed (`Tracker::channels`)
//!                    ▲                                     └─ its segment ended in a transaction that goes on ─┐   or forgotten
//!                    └─────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! (`src/backend/commands/async.c`: a listener's place in the queue is that of its commit; a process that commits has signalled all
//! listeners before it answers, and a listener reads before it answers what it is asked next.)

use crate::backend::Backend;
use crate::errors::{self, Words};
use crate::exchange::{Exchange, Segment};
use crate::login_cache::Work;
use crate::reports::{self, Reports};
use crate::session::Session;
use crate::wire::write;
use forebay_core::Refusal;
use forebay_core::notification::{Channel, Notification};
use forebay_core::orders::{Order, Orders};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Most bytes of notifications that are kept for one client; those that several clients are told are shared.
pub const KEPT_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// What a notification takes beside its payload.
const NOTIFICATION_BYTES: usize = 64;

/// One session's listening; no memory for those that never do.
#[derive(Debug, Default)]
pub struct Listening(Option<Box<State>>);

#[derive(Debug, Default)]
struct State {
    /// LISTENs that were sent in a transaction that is not known to be over.
    noted: BTreeMap<Channel, Noted>,
    /// Channels that the data plane was asked for.
    asked: BTreeSet<Channel>,
    /// What the client's next message waits for.
    message: Question,
    /// What the ReadyForQuery waits for that is at hand.
    boundary: Question,
    /// Questions asked so far.
    numbers: u32,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
}

/// A notification that the client has not read yet.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What was told.
    pub told: Arc<Notification>,
    /// Not by the session, whatever process told it.
    pub by_another: bool,
}

/// A LISTEN that was sent.
#[derive(Debug, Clone, Copy)]
struct Noted {
    /// With the last of its messages.
    since: Segment,
    /// A message that may commit it was sent, and since before that it is heard.
    covered: bool,
}

/// A question to the data plane.
#[derive(Debug, Default)]
enum Question {
    #[default]
    None,
    Asked {
        number: u32,
        channels: Vec<Channel>,
    },
    Granted(Vec<Channel>),
    Denied(Words),
}

/// What became of what the client's next message waits for.
#[derive(Debug)]
pub enum Answer {
    /// Nothing was asked.
    None,
    /// Everything is heard that the message needs.
    Granted,
    /// The database cannot be listened to.
    Denied(Words),
}

impl Listening {
    fn state(&mut self) -> &mut State {
        self.0.get_or_insert_default()
    }

    /// Whether a LISTEN was sent whose fate is not known.
    pub fn has_noted(&self) -> bool {
        self.0.as_ref().is_some_and(|state| !state.noted.is_empty())
    }

    /// Whether the client's next message waits for an answer.
    pub fn is_asking(&self) -> bool {
        let asked = |state: &State| matches!(state.message, Question::Asked { .. });
        self.0.as_deref().is_some_and(asked)
    }

    /// Whether a message that may commit one of them is under way.
    pub fn has_covered(&self) -> bool {
        let covered = |state: &State| state.noted.values().any(|noted| noted.covered);
        self.0.as_deref().is_some_and(covered)
    }

    /// Whether this channel is heard for the session, or will be; not one on which its own backend alone listens.
    pub fn hears(&self, channel: &[u8]) -> bool {
        self.0
            .as_deref()
            .is_some_and(|state| state.asked.contains(channel))
    }

    /// Whether a message that may commit one of them is under way, or may be sent.
    pub fn is_granted(&self) -> bool {
        let granted = |state: &State| matches!(state.message, Question::Granted(_));
        self.has_covered() || self.0.as_deref().is_some_and(granted)
    }

    /// Channels to be heard before a message is sent that may commit them: those of LISTENs that were sent, and `own`, its own.
    pub fn to_ask<'n>(&self, own: impl Iterator<Item = &'n str>) -> Vec<Channel> {
        let noted = self.0.iter().flat_map(|state| &state.noted);
        let fresh = noted.filter(|(_, noted)| !noted.covered);
        let mut channels: BTreeSet<Channel> = fresh.map(|(name, _)| Channel::clone(name)).collect();
        let covered = |name: &&str| self.is_covered(name.as_bytes());
        let own = own.filter(|name| !covered(name));
        channels.extend(own.map(|name| Channel::from(name.as_bytes())));
        channels.into_iter().collect()
    }

    fn is_covered(&self, channel: &[u8]) -> bool {
        let noted = self.0.as_ref().and_then(|state| state.noted.get(channel));
        noted.is_some_and(|noted| noted.covered)
    }

    /// Whether a question of the client's next message is answered, and the answer was not taken.
    pub fn is_answered(&self) -> bool {
        let answered =
            |state: &State| matches!(state.message, Question::Granted(_) | Question::Denied(_));
        self.0.as_deref().is_some_and(answered)
    }

    /// These are heard, and a message of this segment may commit them.
    pub fn cover(&mut self, names: &[String], since: Segment) {
        for name in names {
            let covered = Noted {
                since,
                covered: true,
            };
            let channel = Channel::from(name.as_bytes());
            self.state().noted.insert(channel, covered);
        }
    }

    /// How many LISTENs were sent whose fate is not known.
    pub fn noted(&self) -> usize {
        self.0.as_ref().map_or(0, |state| state.noted.len())
    }

    /// A LISTEN is sent that this message does not commit.
    pub fn note(&mut self, name: &str, since: Segment) {
        let fresh = Noted {
            since,
            covered: false,
        };
        let channel = Channel::from(name.as_bytes());
        self.state().noted.insert(channel, fresh);
    }

    /// The client's next message waits until these are heard. Returns the question's number.
    pub fn ask(&mut self, channels: Vec<Channel>) -> u32 {
        let state = self.state();
        state.numbers = state.numbers.wrapping_add(1);
        state.asked.extend(channels.iter().cloned());
        let number = state.numbers;
        state.message = Question::Asked { number, channels };
        number
    }

    /// The ReadyForQuery that is at hand waits until everything was handed over. Returns the question's number, or `None` where it was
    /// asked already.
    pub fn ask_at_boundary(&mut self) -> Option<u32> {
        let state = self.state();
        if !matches!(state.boundary, Question::None) {
            return None;
        }
        state.numbers = state.numbers.wrapping_add(1);
        state.boundary = Question::Asked {
            number: state.numbers,
            channels: Vec::new(),
        };
        Some(state.numbers)
    }

    /// Whether everything was handed over that the ReadyForQuery at hand waited for.
    pub fn take_boundary(&mut self) -> bool {
        let Some(state) = &mut self.0 else {
            return false;
        };
        let over = !matches!(state.boundary, Question::None | Question::Asked { .. });
        if over {
            state.boundary = Question::None;
        }
        over
    }

    /// A question is answered. True if the client's next message waited for it.
    pub fn on_answer(
        &mut self,
        number: u32,
        result: Result<(), &Refusal>,
        active: &BTreeSet<Channel>,
    ) -> bool {
        let Some(state) = &mut self.0 else {
            return false;
        };
        match (&state.message, &state.boundary) {
            (Question::Asked { number: asked, .. }, _) if *asked == number => {}
            (_, Question::Asked { number: asked, .. }) if *asked == number => {
                // Whether the connection was lost that listens, it is told apart.
                state.boundary = Question::Granted(Vec::new());
                return false;
            }
            _ => return false,
        }
        let Question::Asked { channels, .. } = std::mem::take(&mut state.message) else {
            return false;
        };
        state.message = match result {
            Ok(()) => {
                state
                    .forget_kept(|channel| channels.contains(channel) && !active.contains(channel));
                Question::Granted(channels)
            }
            Err(refusal) => Question::Denied(errors::words(refusal)),
        };
        true
    }

    /// What became of what the client's next message waits for, which is sent now, in this segment.
    pub fn take_answer(&mut self, segment: Segment) -> Answer {
        let Some(state) = &mut self.0 else {
            return Answer::None;
        };
        match std::mem::take(&mut state.message) {
            Question::Granted(channels) => {
                let covered = Noted {
                    since: segment,
                    covered: true,
                };
                state
                    .noted
                    .extend(channels.into_iter().map(|channel| (channel, covered)));
                Answer::Granted
            }
            Question::Denied(words) => Answer::Denied(words),
            other => {
                state.message = other;
                Answer::None
            }
        }
    }

    /// A segment ended with this transaction status, and what it committed is `active`. Returns the channels that need not be heard
    /// any more.
    pub fn on_ready(
        &mut self,
        status: u8,
        exchange: &Exchange,
        active: &BTreeSet<Channel>,
    ) -> Vec<Channel> {
        let Some(state) = &mut self.0 else {
            return Vec::new();
        };
        let answered =
            |noted: &Noted| !exchange.is_running(noted.since) && noted.since != exchange.segment();
        if status == b'I' {
            state.noted.retain(|_, noted| !answered(noted));
        } else {
            // Its transaction goes on: what commits it is yet to be sent.
            for noted in state.noted.values_mut() {
                noted.covered &= !answered(noted);
            }
        }
        state.unneeded(active)
    }

    /// Something was told. False if more is kept than may be.
    pub fn keep(&mut self, told: &Arc<Notification>, active: &BTreeSet<Channel>) -> bool {
        let Some(state) = &mut self.0 else {
            return true;
        };
        if !active.contains(&told.channel) && !state.is_candidate(&told.channel) {
            return true;
        }
        state.kept_bytes += told.payload.len() + NOTIFICATION_BYTES;
        state.kept.push_back(Kept {
            told: Arc::clone(told),
            by_another: false,
        });
        state.kept_bytes <= KEPT_BYTES_MAX as usize
    }

    /// What is kept was told by others: the session has told nothing yet on its backend, which another may have used.
    pub fn part_from_kept(&mut self) {
        let state = self.0.iter_mut();
        for kept in state.flat_map(|state| &mut state.kept) {
            kept.by_another = true;
        }
    }

    /// Whether something is kept.
    pub fn has_kept(&self) -> bool {
        self.0.as_ref().is_some_and(|state| !state.kept.is_empty())
    }

    /// What was told and is kept, between two transactions; of what is no longer listened on nothing is left.
    pub fn take_kept(&mut self, active: &BTreeSet<Channel>) -> VecDeque<Kept> {
        let Some(state) = &mut self.0 else {
            return VecDeque::new();
        };
        let mut kept = std::mem::take(&mut state.kept);
        state.kept_bytes = 0;
        // Behind a segment that was answered there may be one that commits.
        if state.has_candidates() {
            let later = kept.iter().filter(|kept| {
                let channel = &kept.told.channel;
                !active.contains(channel) && state.is_candidate(channel)
            });
            state.kept = later.cloned().collect();
            state.count_kept();
        }
        kept.retain(|kept| active.contains(&kept.told.channel));
        kept
    }
}

impl State {
    fn has_candidates(&self) -> bool {
        !self.noted.is_empty() || matches!(self.message, Question::Granted(_))
    }

    /// Whether a commit that is under way, or about to be sent, may begin to listen on this channel.
    fn is_candidate(&self, channel: &[u8]) -> bool {
        let has = |channels: &[Channel]| channels.iter().any(|known| **known == *channel);
        let granted = matches!(&self.message, Question::Granted(channels) if has(channels));
        granted || self.noted.get(channel).is_some_and(|noted| noted.covered)
    }

    fn forget_kept(&mut self, mut forgotten: impl FnMut(&Channel) -> bool) {
        self.kept.retain(|kept| !forgotten(&kept.told.channel));
        self.count_kept();
    }

    fn count_kept(&mut self) {
        let bytes = self.kept.iter();
        let bytes = bytes.map(|kept| kept.told.payload.len() + NOTIFICATION_BYTES);
        self.kept_bytes = bytes.sum();
    }

    fn unneeded(&mut self, active: &BTreeSet<Channel>) -> Vec<Channel> {
        let waiting: &[Channel] = match &self.message {
            Question::Asked { channels, .. } | Question::Granted(channels) => channels,
            Question::None | Question::Denied(_) => &[],
        };
        let needed = |channel: &Channel| {
            active.contains(channel)
                || self.noted.contains_key(channel)
                || waiting.contains(channel)
        };
        let unneeded = self.asked.iter().filter(|channel| !needed(channel));
        let unneeded: Vec<Channel> = unneeded.cloned().collect();
        for channel in &unneeded {
            self.asked.remove(channel);
        }
        unneeded
    }
}

/// Whether payloads reach a client with these reports as the connection that listens reads them, whatever is in them.
pub fn reads_payloads(reports: &Reports) -> bool {
    let of = |name: &[u8]| reports::value(reports, name);
    let (client, server) = (of(b"client_encoding"), of(b"server_encoding"));
    client == server || client == Some(b"SQL_ASCII") || server == Some(b"SQL_ASCII")
}

/// Between two transactions: the client hears what it was told. A notification of its own bears the process number that it was given.
pub fn deliver(session: &mut Session, backend: Option<&Backend>, orders: &mut Orders<Work>) {
    if !session.listening.has_kept() {
        return;
    }
    let kept = session.listening.take_kept(session.tracker.channels());
    let readable = reads_payloads(&session.reports);
    // What others have done on the same backend, and may not have been told yet, is not the client's own.
    let own = backend.filter(|backend| !backend.stirred);
    let own = own.map(|backend| backend.process);
    let mut count = 0;
    for Kept { told, by_another } in &kept {
        if !readable && !told.payload.is_ascii() {
            return orders.refuse(Refusal::NotificationEncoding);
        }
        let process = if own == Some(told.process) && !by_another {
            session.process
        } else {
            told.process
        };
        orders.to_client(|out| write_notification(out, process, told));
        count += 1;
    }
    if count > 0 {
        orders.push(Order::Notified(count));
    }
}

/// Appends a `NotificationResponse`.
pub fn write_notification(out: &mut Vec<u8>, process: u32, told: &Notification) {
    write::message(out, b'A', |out| {
        out.extend_from_slice(&process.to_be_bytes());
        write::string(out, &told.channel);
        write::string(out, &told.payload);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Expect;
    use forebay_core::Instant;

    fn channel(name: &str) -> Channel {
        name.as_bytes().into()
    }

    fn told(name: &str, payload: &str) -> Arc<Notification> {
        Arc::new(Notification {
            channel: channel(name),
            process: 7,
            payload: payload.as_bytes().into(),
        })
    }

    fn payloads(kept: VecDeque<Kept>) -> Vec<String> {
        let text = |kept: &Kept| String::from_utf8_lossy(&kept.told.payload).into_owned();
        kept.iter().map(text).collect()
    }

    /// Asks for a LISTEN's channel, and is answered.
    fn cover(listening: &mut Listening, name: &str, segment: Segment) {
        let number = listening.ask(listening.to_ask([name].into_iter()));
        assert!(listening.is_asking());
        assert!(listening.on_answer(number, Ok(()), &BTreeSet::new()));
        assert!(matches!(listening.take_answer(segment), Answer::Granted));
    }

    #[test]
    fn what_is_told_between_the_question_and_the_commit_is_kept_and_what_was_told_before_is_not() {
        let (mut listening, mut exchange) = (Listening::default(), Exchange::new());
        let (none, active) = (BTreeSet::new(), BTreeSet::from([channel("a")]));
        let number = listening.ask(vec![channel("a")]);
        listening.keep(&told("a", "before"), &none);
        listening.on_answer(number, Ok(()), &none);
        listening.keep(&told("a", "1"), &none);
        let segment = exchange.segment();
        assert!(matches!(listening.take_answer(segment), Answer::Granted));
        exchange.push(Expect::PlainQuery(Instant::ZERO));
        listening.keep(&told("a", "2"), &none);
        listening.keep(&told("b", "another's"), &none);
        exchange.pop();
        assert!(listening.on_ready(b'I', &exchange, &active).is_empty());
        assert_eq!(payloads(listening.take_kept(&active)), ["1", "2"]);
        assert!(!listening.has_noted() && !listening.has_kept());
    }

    #[test]
    fn a_channel_whose_commit_came_to_nothing_is_not_heard_any_more() {
        let (mut listening, mut exchange) = (Listening::default(), Exchange::new());
        cover(&mut listening, "a", exchange.segment());
        exchange.push(Expect::PlainQuery(Instant::ZERO));
        listening.keep(&told("a", "1"), &BTreeSet::new());
        exchange.pop();
        let unneeded = listening.on_ready(b'I', &exchange, &BTreeSet::new());
        assert_eq!(unneeded, [channel("a")]);
        assert!(listening.take_kept(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn in_a_transaction_that_goes_on_the_channel_is_asked_for_again_before_its_commit() {
        let (mut listening, mut exchange) = (Listening::default(), Exchange::new());
        let none = BTreeSet::new();
        cover(&mut listening, "a", exchange.segment());
        exchange.push(Expect::PlainQuery(Instant::ZERO));
        exchange.pop();
        assert!(listening.on_ready(b'T', &exchange, &none).is_empty());
        assert_eq!(listening.to_ask([].into_iter()), [channel("a")]);
        let number = listening.ask(vec![channel("a")]);
        listening.keep(&told("a", "before the commit"), &none);
        listening.on_answer(number, Ok(()), &none);
        let active = BTreeSet::from([channel("a")]);
        assert!(listening.take_kept(&active).is_empty());
    }

    #[test]
    fn a_segment_behind_the_answered_one_keeps_its_channels() {
        let (mut listening, mut exchange) = (Listening::default(), Exchange::new());
        let none = BTreeSet::new();
        cover(&mut listening, "a", exchange.segment());
        exchange.push(Expect::PlainQuery(Instant::ZERO));
        cover(&mut listening, "b", exchange.segment());
        exchange.push(Expect::PlainQuery(Instant::ZERO));
        listening.keep(&told("b", "1"), &none);
        exchange.pop();
        let active = BTreeSet::from([channel("a")]);
        assert!(listening.on_ready(b'I', &exchange, &active).is_empty());
        assert!(listening.take_kept(&active).is_empty() && listening.has_kept());
        exchange.pop();
        let active = BTreeSet::from([channel("a"), channel("b")]);
        listening.on_ready(b'I', &exchange, &active);
        assert_eq!(payloads(listening.take_kept(&active)), ["1"]);
    }

    #[test]
    fn more_than_is_kept_for_one_client_is_noticed() {
        let mut listening = Listening::default();
        let active = BTreeSet::from([channel("a")]);
        listening.note("a", Segment::FIRST);
        let long = told("a", &"x".repeat(KEPT_BYTES_MAX as usize / 2));
        assert!(listening.keep(&long, &active));
        assert!(!listening.keep(&long, &active));
    }

    #[test]
    fn payloads_are_read_where_nothing_would_be_converted() {
        let reports = |client: &str, server: &str| {
            let mut reports: Reports = vec![
                (
                    b"client_encoding".as_slice().into(),
                    client.as_bytes().into(),
                ),
                (
                    b"server_encoding".as_slice().into(),
                    server.as_bytes().into(),
                ),
            ];
            reports.sort();
            reports
        };
        assert!(reads_payloads(&reports("UTF8", "UTF8")));
        assert!(reads_payloads(&reports("SQL_ASCII", "LATIN1")));
        assert!(!reads_payloads(&reports("UTF8", "LATIN1")));
    }
}

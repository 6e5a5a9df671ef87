//! Who hears what: the listening connection of one database, as the worker that owns it sees it. Decides only; `subscriptions.rs` does.
//!
//! All workers' questions are gathered into rounds, one at a time. A question is answered by a round that began after it was asked: then
//! its channels are listened on, and everything told before was handed to every worker.
//!
//! ```text
//!   Absent ─ask─► Dialing ─on_up─► Busy(round) ─on_round_done─► Idle ─ask, time─► Busy …      any ─on_lost─► Absent
//! ```

use crate::mailbox::Ticket;
use forebay_core::notification::{Channel, Round};
use forebay_core::{Instant, Refusal};
use forebay_pool::TargetId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long nothing may be heard of the database before it is asked whether it is there.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long a round may take.
const ROUND_MAX: Duration = Duration::from_secs(5);
/// How long the connection is kept while nobody listens.
const UNUSED_MAX: Duration = Duration::from_secs(10);
/// Channels from which on a round takes no further questions.
const ROUND_CHANNELS_MAX: usize = 4096;

/// Which database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubKey {
    /// The server.
    pub target: TargetId,
    /// The database.
    pub database: Arc<str>,
}

impl HubKey {
    /// The worker that owns the connection: the same for all that ask.
    pub fn owner(&self, workers: usize) -> usize {
        // FNV-1a: without a random part, so that a simulation repeats.
        let bytes = self.database.bytes().chain(self.target.0.to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let place = hash % workers.max(1) as u64;
        usize::try_from(place).expect("a remainder is less than a length")
    }
}

/// Who asked for channels, and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The client's worker.
    pub worker: u16,
    /// The client.
    pub client: Ticket,
    /// The client's own number for the question.
    pub number: u32,
    /// What it wants to hear.
    pub channels: Vec<Channel>,
}

/// What is to be done about the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Open it.
    Dial,
    /// Have it do this.
    Begin(Round),
    /// Nobody needs it any more.
    Close,
    /// It does not answer: it counts as lost.
    GiveUp,
}

/// An answer to a question.
pub type Answer = (Question, Result<(), Refusal>);

#[derive(Debug)]
enum Stage {
    Absent,
    Dialing,
    Idle {
        since: Instant,
    },
    Busy {
        since: Instant,
        questions: Vec<Question>,
        round: Round,
    },
}

/// The listening connection of one database.
#[derive(Debug)]
pub struct Hub {
    stage: Stage,
    /// Which workers have clients that hear of a channel, or asked to.
    wanted: BTreeMap<Channel, BTreeSet<u16>>,
    /// What the connection listens on.
    heard: BTreeSet<Channel>,
    /// Channels that nobody wants any more, perhaps.
    ended: BTreeSet<Channel>,
    waiting: VecDeque<Question>,
    /// When somebody last wanted something.
    used_at: Instant,
}

impl Hub {
    /// Nobody has asked for anything yet.
    pub fn new(now: Instant) -> Hub {
        Hub {
            stage: Stage::Absent,
            wanted: BTreeMap::new(),
            heard: BTreeSet::new(),
            ended: BTreeSet::new(),
            waiting: VecDeque::new(),
            used_at: now,
        }
    }

    /// A client wants to hear something, or to be handed what was told so far.
    pub fn ask(&mut self, now: Instant, question: Question) -> Act {
        self.used_at = now;
        for channel in &question.channels {
            let workers = self.wanted.entry(Channel::clone(channel)).or_default();
            workers.insert(question.worker);
        }
        self.waiting.push_back(question);
        match self.stage {
            Stage::Absent => {
                self.stage = Stage::Dialing;
                Act::Dial
            }
            Stage::Idle { .. } => self.begin(now),
            Stage::Dialing | Stage::Busy { .. } => Act::Nothing,
        }
    }

    /// No client of this worker needs to hear of these channels.
    pub fn unwanted(&mut self, now: Instant, worker: u16, channels: &[Channel]) -> Act {
        for channel in channels {
            let Some(workers) = self.wanted.get_mut(channel) else {
                continue;
            };
            workers.remove(&worker);
            if workers.is_empty() {
                self.wanted.remove(channel);
                self.ended.insert(Channel::clone(channel));
            }
        }
        match self.stage {
            Stage::Idle { .. } if !self.ended.is_empty() => self.begin(now),
            _ => Act::Nothing,
        }
    }

    /// The workers with clients that hear of this channel.
    pub fn workers(&self, channel: &Channel) -> impl Iterator<Item = u16> {
        self.wanted.get(channel).into_iter().flatten().copied()
    }

    /// How many channels are wanted.
    pub fn channels(&self) -> usize {
        self.wanted.len()
    }

    /// The connection is logged in.
    pub fn on_up(&mut self, now: Instant) -> Act {
        self.begin(now)
    }

    /// The round is done, or nothing of it.
    pub fn on_round_done(
        &mut self,
        now: Instant,
        result: Result<(), &Refusal>,
    ) -> (Vec<Answer>, Act) {
        let idle = Stage::Idle { since: now };
        let Stage::Busy {
            questions, round, ..
        } = std::mem::replace(&mut self.stage, idle)
        else {
            return (Vec::new(), Act::GiveUp);
        };
        match result {
            Ok(()) => {
                for channel in &round.end {
                    self.heard.remove(channel);
                }
                self.heard.extend(round.begin);
            }
            // They are still listened on.
            Err(_) => self.ended.extend(round.end),
        }
        let answer = |question: Question| {
            let missing = |channel: &Channel| !self.heard.contains(channel);
            let result = match result {
                Err(refusal) if question.channels.iter().any(missing) => Err(refusal.clone()),
                _ => Ok(()),
            };
            (question, result)
        };
        let answers = questions.into_iter().map(answer).collect();
        let more = !self.waiting.is_empty() || (result.is_ok() && !self.ended.is_empty());
        let act = if more { self.begin(now) } else { Act::Nothing };
        (answers, act)
    }

    /// The connection is gone, or was not to be had. Returns who waits in vain and which workers have clients that heard something.
    pub fn on_lost(&mut self) -> (Vec<Question>, BTreeSet<u16>) {
        let mut questions = match std::mem::replace(&mut self.stage, Stage::Absent) {
            Stage::Busy { questions, .. } => questions,
            Stage::Absent | Stage::Dialing | Stage::Idle { .. } => Vec::new(),
        };
        questions.extend(self.waiting.drain(..));
        let workers = std::mem::take(&mut self.wanted);
        let workers = workers.into_values().flatten().collect();
        self.heard.clear();
        self.ended.clear();
        (questions, workers)
    }

    /// Looked at once a second.
    pub fn on_time(&mut self, now: Instant) -> Act {
        if !self.wanted.is_empty() {
            self.used_at = now;
        }
        match self.stage {
            Stage::Busy { since, .. } if now > since + ROUND_MAX => Act::GiveUp,
            Stage::Idle { .. } if now > self.used_at + UNUSED_MAX => Act::Close,
            Stage::Idle { since } if now > since + SILENCE_MAX => self.begin(now),
            _ => Act::Nothing,
        }
    }

    /// Whether nobody needs it and there is no connection.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Absent) && self.wanted.is_empty()
    }

    fn begin(&mut self, now: Instant) -> Act {
        let mut questions = Vec::new();
        let mut begin: BTreeSet<Channel> = BTreeSet::new();
        while begin.len() < ROUND_CHANNELS_MAX
            && let Some(question) = self.waiting.pop_front()
        {
            let new = question.channels.iter();
            let new = new.filter(|channel| !self.heard.contains(*channel));
            begin.extend(new.cloned());
            questions.push(question);
        }
        let ended = std::mem::take(&mut self.ended);
        let end = ended
            .into_iter()
            .filter(|channel| self.heard.contains(channel) && !self.wanted.contains_key(channel));
        let round = Round {
            end: end.collect(),
            begin: begin.into_iter().collect(),
        };
        self.stage = Stage::Busy {
            since: now,
            questions,
            round: Round {
                begin: round.begin.clone(),
                end: round.end.clone(),
            },
        };
        Act::Begin(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        name.as_bytes().into()
    }

    fn question(worker: u16, number: u32, channels: &[&str]) -> Question {
        Question {
            worker,
            client: Ticket::from_bits(u64::from(worker)),
            number,
            channels: channels.iter().map(|name| channel(name)).collect(),
        }
    }

    fn begins(act: &Act) -> Vec<&[u8]> {
        let Act::Begin(round) = act else {
            panic!("{act:?}")
        };
        let mut names: Vec<_> = round.begin.iter().map(|channel| &**channel).collect();
        names.sort_unstable();
        names
    }

    fn numbers(answers: &[Answer]) -> Vec<(u32, bool)> {
        let mut numbers: Vec<_> = answers
            .iter()
            .map(|(question, result)| (question.number, result.is_ok()))
            .collect();
        numbers.sort_unstable();
        numbers
    }

    const NOW: Instant = Instant::ZERO;

    fn refusal() -> Refusal {
        Refusal::BackendLost
    }

    #[test]
    fn questions_asked_during_a_round_are_answered_by_the_next_one() {
        let mut hub = Hub::new(NOW);
        assert_eq!(hub.ask(NOW, question(0, 1, &["a"])), Act::Dial);
        assert_eq!(hub.ask(NOW, question(1, 2, &["a", "b"])), Act::Nothing);
        assert_eq!(begins(&hub.on_up(NOW)), [b"a", b"b"]);
        assert_eq!(hub.ask(NOW, question(2, 3, &["a"])), Act::Nothing);
        let (answers, act) = hub.on_round_done(NOW, Ok(()));
        assert_eq!(numbers(&answers), [(1, true), (2, true)]);
        assert!(begins(&act).is_empty());
        let mut workers: Vec<u16> = hub.workers(&channel("a")).collect();
        workers.sort_unstable();
        assert_eq!(workers, [0, 1, 2]);
        let (answers, act) = hub.on_round_done(NOW, Ok(()));
        assert_eq!((numbers(&answers), act), (vec![(3, true)], Act::Nothing));
    }

    #[test]
    fn a_channel_is_ended_when_the_last_worker_is_through_with_it() {
        let mut hub = Hub::new(NOW);
        hub.ask(NOW, question(0, 1, &["a"]));
        hub.ask(NOW, question(1, 2, &["a"]));
        hub.on_up(NOW);
        hub.on_round_done(NOW, Ok(()));
        assert_eq!(hub.unwanted(NOW, 0, &[channel("a")]), Act::Nothing);
        let Act::Begin(round) = hub.unwanted(NOW, 1, &[channel("a")]) else {
            panic!("nothing is begun");
        };
        assert_eq!(
            (round.begin.len(), &round.end[..]),
            (0, &[channel("a")][..])
        );
        // Wanted again meanwhile.
        hub.ask(NOW, question(0, 3, &["a"]));
        let (answers, act) = hub.on_round_done(NOW, Ok(()));
        assert!(answers.is_empty());
        assert_eq!(begins(&act), [b"a"]);
    }

    #[test]
    fn a_round_that_fails_is_told_to_those_who_lack_something() {
        let mut hub = Hub::new(NOW);
        hub.ask(NOW, question(0, 1, &["a"]));
        hub.on_up(NOW);
        hub.on_round_done(NOW, Ok(()));
        hub.ask(NOW, question(0, 2, &["b"]));
        hub.ask(NOW, question(0, 3, &["a"]));
        hub.ask(NOW, question(0, 4, &[]));
        let (answers, act) = hub.on_round_done(NOW, Err(&refusal()));
        assert_eq!(numbers(&answers), [(2, false)]);
        assert!(begins(&act).is_empty());
        let (answers, _) = hub.on_round_done(NOW, Err(&refusal()));
        assert_eq!(numbers(&answers), [(3, true), (4, true)]);
    }

    #[test]
    fn a_lost_connection_leaves_nobody_waiting_and_forgets_nobody() {
        let mut hub = Hub::new(NOW);
        hub.ask(NOW, question(0, 1, &["a"]));
        hub.on_up(NOW);
        hub.on_round_done(NOW, Ok(()));
        hub.ask(NOW, question(1, 2, &["b"]));
        hub.ask(NOW, question(0, 3, &[]));
        let (questions, workers) = hub.on_lost();
        assert_eq!(questions.len(), 2);
        assert_eq!(workers, BTreeSet::from([0, 1]));
        assert!(hub.is_over());
        assert_eq!(hub.ask(NOW, question(0, 4, &["a"])), Act::Dial);
    }

    #[test]
    fn silence_is_asked_about_and_an_unused_connection_is_closed() {
        let mut hub = Hub::new(NOW);
        hub.ask(NOW, question(0, 1, &["a"]));
        hub.on_up(NOW);
        hub.on_round_done(NOW, Ok(()));
        let later = NOW + SILENCE_MAX + Duration::from_secs(1);
        assert_eq!(hub.on_time(NOW), Act::Nothing);
        assert!(begins(&hub.on_time(later)).is_empty());
        assert_eq!(hub.on_time(later + ROUND_MAX), Act::Nothing);
        assert_eq!(hub.on_time(later + ROUND_MAX + SILENCE_MAX), Act::GiveUp);
        let mut hub = Hub::new(NOW);
        hub.ask(NOW, question(0, 1, &[]));
        hub.on_up(NOW);
        hub.on_round_done(NOW, Ok(()));
        let later = NOW + UNUSED_MAX + Duration::from_secs(1);
        assert_eq!(hub.on_time(later), Act::Close);
    }
}

//! Who is served when: every client asks once for a transaction, and it is noted when it asked and in which order answers came.

use super::postgres::Postgres;
use super::scenario::Scenario;
use super::world::World;
use super::{Failure, Report};
use crate::model::SplitMix64;
use crate::model::client::{Act, Episode, Message, Program, Step};
use forebay_core::Instant;
use std::time::Duration;

/// Time each transaction keeps its backend, in milliseconds.
const HELD: u32 = 20;
/// What the network and the turns of workers may add to the order of arrival.
pub const JITTER: Duration = Duration::from_millis(1);
/// Time to the next release, at most.
pub const RELEASE_MAX: Duration = Duration::from_millis(HELD as u64 + 2);

/// One client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Which client.
    pub client: usize,
    /// When it asked.
    pub asked: Instant,
    /// When it was answered.
    pub answered: Instant,
}

/// Lets every client of a scenario ask once; the answers in the order in which they came.
///
/// # Errors
/// The first violation.
pub fn arrivals_and_answers(scenario: &Scenario) -> Result<Vec<Answer>, Failure> {
    let mut rng = SplitMix64::new(scenario.seed);
    let mut world = World::<Postgres>::with_programs(scenario, 0, |_| program(&mut rng));
    let mut report = Report::default();
    world.play(&mut report)?;
    Ok(std::mem::take(&mut world.answers))
}

fn program(rng: &mut SplitMix64) -> Program {
    let steps = vec![
        // Logins are over by then.
        Step::Think(500 + rng.below(400) as u32),
        Step::Send(Message::Query(vec![Act::Begin { read_only: None }])),
        Step::Await,
        Step::Think(HELD),
        Step::Send(Message::Query(vec![Act::Commit { chain: false }])),
        Step::Await,
        Step::Terminate,
    ];
    Program {
        episodes: vec![Episode {
            minor: 0,
            asks_encryption: false,
            settings: Vec::new(),
            options: Vec::new(),
            steps,
        }],
    }
}

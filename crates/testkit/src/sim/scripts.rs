//! Runs whose clients play programs written by hand, for what random ones do not show: limits and timers, to the instant.

use super::postgres::Postgres;
use super::scenario::Scenario;
use super::world::World;
use super::{Failure, Report};
use crate::model::client::{Act, Episode, Message, Program, Step};
use forebay_core::Instant;
use forebay_core::event::{Event, EventKind};
use forebay_core::metrics::Registry;
use std::sync::Arc;
use std::time::Duration;

/// What came of such a run.
pub struct Played {
    /// Its figures.
    pub report: Report,
    /// What workers told, each with the time since the start.
    pub told: Vec<(Duration, Event)>,
    /// The counters of the workers, as they were at the end.
    pub registry: Arc<Registry>,
}

impl Played {
    /// What `pick` finds in what was told, with the time.
    pub fn all<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<(Duration, T)> {
        let told = self.told.iter();
        told.filter_map(|(at, event)| Some((*at, pick(&event.kind)?)))
            .collect()
    }
}

/// One client: when it begins, and the steps of its only connection.
pub type Script = (Duration, Vec<Step>);

/// Lets each client of `scenario` play its script; there are as many clients as scripts.
///
/// # Errors
/// The first violation.
pub fn play(scenario: &Scenario, scripts: &[Script]) -> Result<Played, Failure> {
    let mut scenario = scenario.clone();
    scenario.clients = u32::try_from(scripts.len()).expect("few scripts");
    let mut world = World::<Postgres>::with_programs(&scenario, 0, |id| Program {
        episodes: vec![Episode {
            minor: 0,
            asks_encryption: false,
            settings: Vec::new(),
            options: Vec::new(),
            steps: scripts[id as usize - 1].1.clone(),
        }],
    });
    world.told_at = Some(Vec::new());
    world.begins = scripts.iter().map(|script| script.0).collect();
    let start = world.network.borrow().now;
    let mut report = Report::default();
    world.play(&mut report)?;
    let told = world.told_at.take().unwrap_or_default();
    let since = |(at, event): (Instant, Event)| (at.since(start), event);
    Ok(Played {
        report,
        told: told.into_iter().map(since).collect(),
        registry: Arc::clone(&world.registry),
    })
}

/// A statement of its own, and its answer.
pub fn ask(act: Act) -> [Step; 2] {
    [Step::Send(Message::Query(vec![act])), Step::Await]
}

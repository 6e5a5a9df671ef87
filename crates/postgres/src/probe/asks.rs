//! What is to be asked of the server when the transaction is over.

use super::OBJECT_REASONS;
use crate::sql::Fingerprint;
use forebay_core::Pins;
use forebay_core::{PinReason, StatementShape};
use std::collections::BTreeSet;

/// Most names of settings that are asked for one by one.
pub const NAMES_ASKED_MAX: usize = 64;

/// Most statements of a transaction whose effect is learned at a time; of one with more, the others' when these are trusted.
const LEARNED_MAX: usize = 16;

/// What is to be asked.
#[derive(Debug, Default)]
pub struct Asks {
    /// All settings that are set.
    pub settings: bool,
    /// Which settings functions speak of.
    pub mentioned: bool,
    /// Settings of which only the name tells that they exist.
    pub names: BTreeSet<Box<str>>,
    /// Whatever else is left on the backend.
    pub objects: bool,
    /// Statements to be judged by the answer.
    pub learned: Vec<Fingerprint>,
    /// The first of them.
    pub said: Option<Box<StatementShape>>,
}

impl Asks {
    /// A statement ran of which it is not known yet what it does.
    pub fn learn(&mut self, fingerprint: Fingerprint) {
        (self.settings, self.objects) = (true, true);
        if self.learned.contains(&fingerprint) {
            return;
        }
        if self.learned.len() < LEARNED_MAX {
            self.learned.push(fingerprint);
        }
    }

    /// These settings may exist.
    pub fn name(&mut self, names: Vec<String>) {
        let room = NAMES_ASKED_MAX.saturating_sub(self.names.len());
        let names = names.into_iter().take(room);
        self.names.extend(names.map(String::into_boxed_str));
    }

    /// Something may have begun to pin, or may have ended.
    pub fn verify(&mut self, reason: PinReason) {
        self.settings |= of_settings(reason);
        self.objects |= OBJECT_REASONS.contains(&reason) || reason == PinReason::ProcedureCall;
    }

    /// The same for all of these.
    pub fn verify_all(&mut self, pins: Pins) {
        pins.iter().for_each(|reason| self.verify(reason));
    }

    /// Whether there is anything to ask.
    pub fn is_empty(&self) -> bool {
        !self.settings && !self.objects && self.names.is_empty()
    }

    /// Whether the answer tells if this still pins.
    pub fn tells_of(&self, reason: PinReason) -> bool {
        match reason {
            PinReason::ProcedureCall => self.settings && self.objects,
            reason if of_settings(reason) => self.settings,
            reason => self.objects && OBJECT_REASONS.contains(&reason),
        }
    }
}

/// Whether this pins because of settings that are not known.
pub fn of_settings(reason: PinReason) -> bool {
    matches!(
        reason,
        PinReason::SetConfig
            | PinReason::UntrackedSetting
            | PinReason::UnexplainedReport
            | PinReason::ProcedureCall
    )
}

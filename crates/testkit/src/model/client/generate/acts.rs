//! Which statement comes next.

use super::super::script::Act;
use super::Writer;
use super::vocabulary::{CHANNELS, CUSTOM, ERRORS, PREPARED, SETTINGS, STATEMENTS, TABLES};

impl Writer<'_> {
    /// One act mostly, sometimes several, seldom none.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        let count = *self.rng.pick(&[1, 1, 1, 1, 2, 3, 4, 0]);
        (0..count).map(|_| self.any_act()).collect()
    }

    /// An act for a statement that may be kept under a name and run several times; those with parameters come here.
    pub(super) fn extended_act(&mut self) -> Act {
        match self.rng.below(8) {
            0..3 => Act::TagParam,
            3 => Act::TagParamNumber(self.rng.below(1000) as i32),
            4..6 => Act::InsertParam,
            // A number must be written once, and what EXECUTE means may change between two uses.
            _ => match self.any_act() {
                Act::Insert(_) => Act::InsertParam,
                Act::Execute(_) => Act::TagParam,
                act => act,
            },
        }
    }

    /// Something that always works outside a failed transaction.
    pub(super) fn quick_act(&mut self) -> Act {
        match self.rng.below(4) {
            0 => Act::Number(self.rng.below(100_000) as i32),
            1 => Act::Insert(self.serial()),
            _ => Act::Tag(self.tag()),
        }
    }

    /// Anything.
    pub(super) fn any_act(&mut self) -> Act {
        match self.rng.below(100) {
            0..34 => self.quick_act(),
            34..38 => Act::Count,
            38..62 => self.setting_act(),
            62..67 => Act::WhoAmI,
            67..73 => self.generate(),
            73..77 => Act::Fail(self.rng.word(ERRORS)),
            77..79 => Act::Nonsense,
            79..81 => self.odd_transaction_act(),
            81..83 => Act::Vacuum,
            83..85 => Act::CloseAll,
            85..88 => self.deallocate(),
            88..93 => self.prepared_act(),
            _ if self.style.sticky => self.sticky_act(),
            _ => self.quick_act(),
        }
    }

    /// Transaction control where it does not belong.
    fn odd_transaction_act(&mut self) -> Act {
        match self.rng.below(6) {
            0 => Act::Commit { chain: false },
            1 => Act::Rollback { chain: false },
            2 => Act::Commit { chain: true },
            3 => Act::Savepoint("a"),
            4 => Act::RollbackTo("a"),
            _ => Act::Release("a"),
        }
    }

    fn deallocate(&mut self) -> Act {
        let names = if self.rng.chance(50) {
            STATEMENTS
        } else {
            PREPARED
        };
        Act::Deallocate(self.rng.chance(60).then(|| self.rng.word(names)))
    }

    fn generate(&mut self) -> Act {
        let rows = self.rng.below(u64::from(self.style.rows_max) + 1) as u32;
        let size = *self.rng.pick(&[1, 30, 200, 1500]);
        let tag = self.tag();
        Act::Generate { rows, size, tag }
    }

    /// Reads or writes settings.
    pub(super) fn setting_act(&mut self) -> Act {
        let custom = self.rng.chance(20);
        let (name, _, values) = *self.rng.pick(if custom { CUSTOM } else { SETTINGS });
        let (written, shown) = *self.rng.pick(values);
        let local = self.rng.chance(25);
        match self.rng.below(14) {
            0..5 => Act::Set {
                local,
                name,
                written,
                shown,
            },
            5..7 => Act::SetConfig { local, name, shown },
            7 => Act::Reset(if custom { "work_mem" } else { name }),
            8 if self.rng.chance(40) => Act::ResetAll,
            8 => Act::SetInvalid {
                name: "work_mem",
                written: "'much'",
            },
            9 => Act::Discard(self.rng.word(&["ALL", "ALL", "PLANS", "SEQUENCES", "TEMP"])),
            10 if !self.style.roles.is_empty() => {
                let role = self
                    .rng
                    .chance(60)
                    .then(|| self.rng.pick(&self.style.roles).clone());
                Act::SetRole { local, role }
            }
            _ if custom => Act::CurrentSetting(name),
            _ => Act::Show(name),
        }
    }

    /// Ties the session to its backend.
    fn sticky_act(&mut self) -> Act {
        let table = self.rng.word(TABLES);
        let channel = self.rng.word(CHANNELS);
        // Keys of different clients never meet: a wait would need somebody to end it.
        let key = i64::from(self.client) * 10 + self.rng.below(3) as i64;
        match self.rng.below(10) {
            0..2 => Act::CreateTemp(table),
            2 => Act::DropTemp(table),
            3 => Act::Lock(key),
            4 => Act::Unlock(key),
            5 => Act::UnlockAll,
            6 => Act::Listen(channel),
            7 => Act::Unlisten(self.rng.chance(50).then_some(channel)),
            _ => self.prepared_act(),
        }
    }

    /// SQL's own prepared statements.
    pub(super) fn prepared_act(&mut self) -> Act {
        let name = self.rng.word(PREPARED);
        if self.rng.chance(40) {
            let tag = self.tag();
            return Act::Prepare { name, tag };
        }
        Act::Execute(name)
    }
}

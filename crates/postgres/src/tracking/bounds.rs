//! How much is tracked for one session: what goes beyond is known to the server alone, and the session keeps its backend.
//!
//! Each SET that commits makes a new value of all settings, and each savepoint below which something is set a copy of them: without
//! bounds a client could have the worker copy without end. A setting that is not tracked is absent from the maps, so that nothing is
//! said of it; what texts mean is then not known until DISCARD ALL brings back what is.

use super::{Frame, Tracker};
use forebay_core::settings::{Map, Value};

/// Most settings of one session that are tracked, beside those of its startup message.
pub const SETTINGS_MAX: usize = 256;

/// Most bytes of names and values of these; and of values that SET LOCAL set and that give texts their meaning.
pub const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// Most savepoints of one transaction that are followed at a time. One that is set again at once, with nothing set in between, counts once.
pub const SAVEPOINTS_MAX: usize = 1000;

/// Most savepoints of one transaction below which something was set, each with a copy of the settings.
pub const COPIES_MAX: usize = 32;

/// Most channels that one session listens on without a backend of its own. Names have at most 63 bytes.
pub const CHANNELS_MAX: usize = 4096;

/// Bytes of a setting.
pub(super) fn bytes_of(name: &str, value: Option<&Value>) -> usize {
    let Some(Value::Sql(text) | Value::Literal(text)) = value else {
        return name.len();
    };
    name.len() + text.len()
}

fn bytes_of_all(map: &Map) -> usize {
    let bytes = map.iter().map(|(name, value)| bytes_of(name, Some(value)));
    bytes.sum()
}

impl Frame {
    /// Whether something was set since its savepoint.
    fn has_own(&self) -> bool {
        self.map.is_some() || self.local.is_some() || self.channels.is_some()
    }
}

impl Tracker {
    /// Whether the backend has settings of this session that are not tracked.
    pub fn has_lost(&self) -> bool {
        self.lost
    }

    /// Something is not tracked any more.
    pub fn lose(&mut self) {
        self.lost = true;
        self.meaning.set(None);
    }

    /// Whether a setting may be tracked with this value. If not, it is absent from now on.
    pub(super) fn tracks(&mut self, name: &str, value: &Value) -> bool {
        if self.has_room(name, value) {
            return true;
        }
        self.lose();
        if self.current(name).is_some() {
            self.map_mut().remove(name);
        }
        false
    }

    fn has_room(&self, name: &str, value: &Value) -> bool {
        let (map, baseline) = (self.current_map(), self.baseline.map());
        let known = map.get(name);
        if known.is_none() && map.len() >= baseline.len() + SETTINGS_MAX {
            return false;
        }
        let freed = known.map_or(0, |known| bytes_of(name, Some(known)));
        let bytes = bytes_of_all(map) - freed + bytes_of(name, Some(value));
        bytes <= bytes_of_all(baseline) + SETTINGS_BYTES_MAX
    }

    /// A savepoint is set.
    pub(super) fn savepoint(&mut self, name: &str) {
        let restores = self.restores_again();
        if let Some(top) = self.pending().frames.last_mut()
            && top.savepoint.as_deref() == Some(name)
            && !top.has_own()
            && !restores
        {
            top.again = top.again.saturating_add(1);
            return;
        }
        // The transaction's own frame has no savepoint.
        if self.pending().frames.len() > SAVEPOINTS_MAX {
            self.forget_savepoints();
        }
        self.pending().frames.push(Frame {
            savepoint: Some(name.to_owned()),
            ..Frame::default()
        });
    }

    /// The innermost frame is about to get a copy of the settings, if it has none.
    pub(super) fn bound_copies(&mut self) {
        let frames = &self.pending().frames;
        let top_has = frames.last().is_some_and(Frame::has_own);
        if !top_has && frames.iter().filter(|frame| frame.has_own()).count() > COPIES_MAX {
            self.forget_savepoints();
        }
    }

    /// What is set stays as it is; what a rollback to one of these savepoints brings back is not known.
    fn forget_savepoints(&mut self) {
        let frames = &mut self.pending().frames;
        let top = Frame {
            map: frames.iter_mut().rev().find_map(|frame| frame.map.take()),
            local: frames.iter_mut().rev().find_map(|frame| frame.local.take()),
            channels: frames
                .iter_mut()
                .rev()
                .find_map(|frame| frame.channels.take()),
            ..Frame::default()
        };
        *frames = vec![top];
        self.lost_values.on_release(1);
        self.lost_locally.on_release(1);
        self.lose();
    }
}

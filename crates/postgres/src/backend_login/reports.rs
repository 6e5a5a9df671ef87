//! What a database reports of itself during login: ParameterStatus and BackendKeyData, bounded before they are kept.

use super::LoggedIn;
use crate::reports::Reports;
use crate::wire::read::Fields;
use crate::wire::startup::{CANCEL_SECRET_BYTES_MAX, CANCEL_SECRET_BYTES_MIN, VERSION_3_2};

/// Most parameters that are kept; PostgreSQL 18 reports 16.
const PARAMETERS_MAX: usize = 64;

/// Most bytes of names and values that are kept.
const PARAMETER_BYTES_MAX: usize = 16 * 1024;

/// Reports so far.
#[derive(Default)]
pub(super) struct Collected {
    parameters: Reports,
    process: u32,
    secret: Box<[u8]>,
}

impl Collected {
    /// A parameter's value; a later report replaces an earlier one.
    pub(super) fn on_parameter_status(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let mut fields = Fields(body);
        let name = fields.string().map_err(|error| error.as_str())?;
        let value = fields.string().map_err(|error| error.as_str())?;
        match self
            .parameters
            .iter_mut()
            .find(|(known, _)| **known == *name)
        {
            Some((_, known)) => *known = value.into(),
            None => self.parameters.push((name.into(), value.into())),
        }
        let bytes: usize = self
            .parameters
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if self.parameters.len() > PARAMETERS_MAX || bytes > PARAMETER_BYTES_MAX {
            return Err("the database reports too many parameters");
        }
        Ok(())
    }

    /// The key that cancels (PostgreSQL documentation, "BackendKeyData"): its secret has 4 bytes before protocol 3.2, and 4 to 256
    /// from there on.
    pub(super) fn on_key_data(&mut self, version: u32, body: &[u8]) -> Result<(), &'static str> {
        let mut fields = Fields(body);
        self.process = fields.u32().map_err(|error| error.as_str())?;
        let secret = fields.0;
        if secret.len() < CANCEL_SECRET_BYTES_MIN {
            return Err("the database sent a cancel key that is too short");
        }
        let max = if version < VERSION_3_2 {
            CANCEL_SECRET_BYTES_MIN
        } else {
            CANCEL_SECRET_BYTES_MAX
        };
        if secret.len() > max {
            return Err("the database sent a cancel key that is too long");
        }
        self.secret = secret.into();
        Ok(())
    }

    pub(super) fn into_logged_in(self) -> LoggedIn {
        LoggedIn {
            parameters: self.parameters,
            process: self.process,
            secret: self.secret,
        }
    }
}

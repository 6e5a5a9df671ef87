//! What a client says of itself: SSLRequest, HandshakeResponse41, and COM_CHANGE_USER, which is the same in another order (MySQL's
//! documentation, pages of these names; MariaDB's, "Connection").
//!
//! An SSLRequest is the first 32 bytes of a response. The client sends the whole response again inside TLS, and that one counts; bytes
//! behind the request that are not TLS were put there by somebody else.

use super::DecodeError;
use super::capability::Capabilities;
use super::command;
use super::read::Fields;
use super::write;

/// Length of an SSLRequest, and of what every response begins with.
pub const OPENING_BYTES: usize = 32;

/// Longest response that is read: attributes of 64 KiB, which is where servers stop, a token in place of a password, and names.
pub const RESPONSE_BYTES_MAX: usize = 160 * 1024;

/// What SSLRequest and HandshakeResponse41 begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// What the client can and wants; a subset of what the server offered, if the client is right.
    pub capabilities: Capabilities,
    /// Longest message that the client takes.
    pub message_bytes_max: u32,
    /// The connection's collation, as far as one byte can say it. Its meaning is the server family's.
    pub collation: u8,
}

impl Opening {
    /// Whether this payload asks for TLS.
    pub fn is_tls_request(payload: &[u8]) -> bool {
        payload.len() == OPENING_BYTES
            && Opening::read(payload).is_ok_and(|it| it.capabilities.has(Capabilities::SSL))
    }

    /// Reads the start of a response, or a whole SSLRequest.
    ///
    /// # Errors
    /// [`DecodeError::OldProtocol`], [`DecodeError::Truncated`].
    pub fn read(payload: &[u8]) -> Result<Opening, DecodeError> {
        Opening::take(&mut Fields(payload))
    }

    fn take(fields: &mut Fields<'_>) -> Result<Opening, DecodeError> {
        // Clients of old send 16 bits of flags and 24 of length; their flags still are the first two bytes.
        let flags = Fields(fields.0).u16()?;
        if !Capabilities(u64::from(flags)).has(Capabilities::PROTOCOL_41) {
            return Err(DecodeError::OldProtocol);
        }
        let lower = fields.u32()?;
        let message_bytes_max = fields.u32()?;
        let collation = fields.byte()?;
        fields.bytes(19)?;
        Ok(Opening {
            capabilities: Capabilities::of_words(lower, fields.u32()?),
            message_bytes_max,
            collation,
        })
    }

    /// Appends an SSLRequest with this sequence number, and says which number is next.
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8) -> u8 {
        write::packet(out, sequence, |out| self.put(out))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.capabilities.lower().to_le_bytes());
        out.extend_from_slice(&self.message_bytes_max.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        out.extend_from_slice(&self.capabilities.upper().to_le_bytes());
    }
}

/// HandshakeResponse41. The proof is not shown by `Debug`: it may be a password in clear text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// What it begins with.
    pub opening: Opening,
    /// The user's name.
    pub user: &'a [u8],
    /// What shall prove the password, by the method that the client names; empty where it has none, or waits to be asked.
    pub proof: &'a [u8],
    /// The database to begin in, if one is named.
    pub database: Option<&'a [u8]>,
    /// The authentication method that the proof is for, if the client says it.
    pub plugin: Option<&'a [u8]>,
    /// Attributes of the connection, for [`attributes`].
    pub attributes: &'a [u8],
    /// The level of compression that the client wants, with [`Capabilities::ZSTD_COMPRESSION`].
    pub zstd_level: Option<u8>,
}

impl<'a> Response<'a> {
    /// Reads a response.
    ///
    /// # Errors
    /// [`DecodeError::OldProtocol`], [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`].
    pub fn read(payload: &'a [u8]) -> Result<Response<'a>, DecodeError> {
        let mut fields = Fields(payload);
        let opening = Opening::take(&mut fields)?;
        let capabilities = opening.capabilities;
        let user = fields.string()?;
        let proof = match capabilities.has(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            true => fields.counted()?,
            false => short_proof(&mut fields)?,
        };
        let database = match capabilities.has(Capabilities::CONNECT_WITH_DB) {
            true => Some(fields.string()?),
            false => None,
        };
        let (plugin, attributes) = tail(capabilities, &mut fields)?;
        let zstd_level = match capabilities.has(Capabilities::ZSTD_COMPRESSION) {
            // MariaDB's connector sends four bytes, of which the first counts.
            true => fields.byte().ok(),
            false => None,
        };
        Ok(Response {
            opening,
            user,
            proof,
            database: database.filter(|name| !name.is_empty()),
            plugin,
            attributes,
            zstd_level,
        })
    }

    /// Appends the response with this sequence number, and says which number is next. Fields that the capabilities do not announce are
    /// left out. `None`, and nothing is appended, where the proof is longer than the capabilities can say.
    #[must_use]
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8) -> Option<u8> {
        let capabilities = self.opening.capabilities;
        let long = capabilities.has(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA);
        let short = u8::try_from(self.proof.len()).ok();
        if !long && short.is_none() {
            return None;
        }
        Some(write::packet(out, sequence, |out| {
            self.opening.put(out);
            write::string(out, self.user);
            match short {
                Some(len) if !long => {
                    out.push(len);
                    out.extend_from_slice(self.proof);
                }
                _ => write::counted(out, self.proof),
            }
            if capabilities.has(Capabilities::CONNECT_WITH_DB) {
                write::string(out, self.database.unwrap_or_default());
            }
            put_tail(out, capabilities, self.plugin, self.attributes);
            if let Some(level) = self.zstd_level
                && capabilities.has(Capabilities::ZSTD_COMPRESSION)
            {
                out.push(level);
            }
        }))
    }
}

impl std::fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("opening", &self.opening)
            .field("user", &String::from_utf8_lossy(self.user))
            .field("plugin", &self.plugin.map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}

/// COM_CHANGE_USER. The proof is not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    /// The user's name.
    pub user: &'a [u8],
    /// What shall prove the password.
    pub proof: &'a [u8],
    /// The database to begin in; empty for none.
    pub database: &'a [u8],
    /// The connection's new collation, which has 16 bits here; `None` keeps the server's own.
    pub collation: Option<u16>,
    /// The authentication method that the proof is for, if the client says it.
    pub plugin: Option<&'a [u8]>,
    /// Attributes of the connection, for [`attributes`].
    pub attributes: &'a [u8],
}

impl<'a> ChangeUser<'a> {
    /// Reads a message, its command byte included.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for another command, [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`].
    pub fn read(
        payload: &'a [u8],
        capabilities: Capabilities,
    ) -> Result<ChangeUser<'a>, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != command::CHANGE_USER {
            return Err(DecodeError::Unexpected);
        }
        let user = fields.string()?;
        let proof = short_proof(&mut fields)?;
        let database = fields.string()?;
        let collation = match fields.is_empty() {
            true => None,
            false => Some(fields.u16()?),
        };
        let (plugin, attributes) = tail(capabilities, &mut fields)?;
        Ok(ChangeUser {
            user,
            proof,
            database,
            collation,
            plugin,
            attributes,
        })
    }

    /// Appends the message, which begins an exchange, and says which number is next. `None`, and nothing is appended, where the proof is
    /// longer than 255 bytes: such a proof is only sent when the server asks for it.
    #[must_use]
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) -> Option<u8> {
        let len = u8::try_from(self.proof.len()).ok()?;
        Some(write::packet(out, 0, |out| {
            out.push(command::CHANGE_USER);
            write::string(out, self.user);
            out.push(len);
            out.extend_from_slice(self.proof);
            write::string(out, self.database);
            if let Some(collation) = self.collation {
                out.extend_from_slice(&collation.to_le_bytes());
                put_tail(out, capabilities, self.plugin, self.attributes);
            }
        }))
    }
}

impl std::fmt::Debug for ChangeUser<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeUser")
            .field("user", &String::from_utf8_lossy(self.user))
            .field("plugin", &self.plugin.map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}

/// A proof of up to 255 bytes. Its length stands there also where [`Capabilities::SECURE_CONNECTION`] is left out, as MySQL reads it: proofs of
/// old, which ended with a NUL, nobody checks any more.
fn short_proof<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], DecodeError> {
    let len = fields.byte()?;
    fields.bytes(usize::from(len))
}

/// Method and attributes, with which both messages end. Servers forgive clients that announce them and leave them out.
fn tail<'a>(
    capabilities: Capabilities,
    fields: &mut Fields<'a>,
) -> Result<(Option<&'a [u8]>, &'a [u8]), DecodeError> {
    let plugin = match capabilities.has(Capabilities::PLUGIN_AUTH) && !fields.is_empty() {
        true => Some(fields.string_or_rest()),
        false => None,
    };
    let attributes = match capabilities.has(Capabilities::CONNECT_ATTRS) && !fields.is_empty() {
        true => fields.counted()?,
        false => &[],
    };
    Ok((plugin, attributes))
}

fn put_tail(
    out: &mut Vec<u8>,
    capabilities: Capabilities,
    plugin: Option<&[u8]>,
    attributes: &[u8],
) {
    if capabilities.has(Capabilities::PLUGIN_AUTH) {
        write::string(out, plugin.unwrap_or_default());
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) {
        write::counted(out, attributes);
    }
}

/// A name and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// The attributes in their field; ends after the first that is malformed.
pub fn attributes(field: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, DecodeError>> {
    let mut fields = Fields(field);
    std::iter::from_fn(move || {
        if fields.is_empty() {
            return None;
        }
        let pair = fields
            .counted()
            .and_then(|name| Ok((name, fields.counted()?)));
        if pair.is_err() {
            fields.rest();
        }
        Some(pair)
    })
}

/// Appends an attribute to a field of attributes.
pub fn put_attribute(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    write::counted(out, name);
    write::counted(out, value);
}

#[cfg(test)]
mod tests;

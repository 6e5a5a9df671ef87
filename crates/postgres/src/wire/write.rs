//! Makes messages, appending to a buffer.

/// Appends one typed message whose body `write` appends.
pub fn message(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = u32::try_from(out.len() - at).expect("messages made here are far below 4 GiB");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// Appends a NUL-terminated string.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// `Query`.
pub fn query(out: &mut Vec<u8>, sql: &[u8]) {
    message(out, b'Q', |out| string(out, sql));
}

/// Flush.
pub const FLUSH: &[u8] = b"H\0\0\0\x04";
/// `Sync`.
pub const SYNC: &[u8] = b"S\0\0\0\x04";
/// `Terminate`.
pub const TERMINATE: &[u8] = b"X\0\0\0\x04";
/// `ParseComplete`.
pub const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
/// `CloseComplete`.
pub const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
/// `AuthenticationOk`.
pub const AUTHENTICATION_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";

/// `ReadyForQuery` with this transaction status (`I`, `T` or `E`).
pub fn ready_for_query(out: &mut Vec<u8>, status: u8) {
    message(out, b'Z', |out| out.push(status));
}

/// `CommandComplete`.
pub fn command_complete(out: &mut Vec<u8>, tag: &[u8]) {
    message(out, b'C', |out| string(out, tag));
}

/// `ParameterStatus`.
pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    message(out, b'S', |out| {
        string(out, name);
        string(out, value);
    });
}

/// `BackendKeyData`; the secret is 4 bytes in protocol 3.0 and up to 256 in 3.2.
pub fn backend_key_data(out: &mut Vec<u8>, process: u32, secret: &[u8]) {
    message(out, b'K', |out| {
        out.extend_from_slice(&process.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

/// `ErrorResponse` with the fields every client reads.
pub fn error(out: &mut Vec<u8>, severity: &str, code: &str, text: &str) {
    error_of(out, severity, code, text, None);
}

/// The same with the name of the server's routine that reports it, where drivers read that.
pub fn error_of(out: &mut Vec<u8>, severity: &str, code: &str, text: &str, routine: Option<&str>) {
    message(out, b'E', |out| {
        fields_of(out, severity, code, text, routine)
    });
}

/// `NoticeResponse` of the severity NOTICE.
pub fn notice(out: &mut Vec<u8>, code: &str, text: &str) {
    message(out, b'N', |out| fields_of(out, "NOTICE", code, text, None));
}

fn fields_of(out: &mut Vec<u8>, severity: &str, code: &str, text: &str, routine: Option<&str>) {
    let fields = [
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', text),
    ];
    let routine = routine.map(|routine| (b'R', routine));
    for (kind, value) in fields.into_iter().chain(routine) {
        out.push(kind);
        // A NUL inside would end the field early and shift all that follows.
        out.extend(value.bytes().filter(|&byte| byte != 0));
        out.push(0);
    }
    out.push(0);
}

/// `Parse`: a statement's name, text and declared parameter types (the count and type numbers as they came from the client).
pub fn parse(out: &mut Vec<u8>, name: &[u8], text: &[u8], types: &[u8]) {
    message(out, b'P', |out| {
        string(out, name);
        string(out, text);
        out.extend_from_slice(types);
    });
}

/// `Close` of a statement (`S`) or portal (`P`).
pub fn close(out: &mut Vec<u8>, what: u8, name: &[u8]) {
    message(out, b'C', |out| {
        out.push(what);
        string(out, name);
    });
}

/// One statement without parameters, prepared, run and closed again under this name: what has other names, or none, stays. An error
/// skips the end of it: the name is to be closed ahead of the next.
pub fn run(out: &mut Vec<u8>, name: &[u8], sql: &[u8]) {
    parse(out, name, sql, &[0; 2]);
    message(out, b'B', |out| {
        string(out, name);
        string(out, name);
        out.extend_from_slice(&[0; 6]);
    });
    message(out, b'E', |out| {
        string(out, name);
        out.extend_from_slice(&[0; 4]);
    });
    close(out, b'P', name);
    close(out, b'S', name);
}

/// `CancelRequest`; has no type byte.
pub fn cancel_request(out: &mut Vec<u8>, process: u32, secret: &[u8]) {
    let len = u32::try_from(12 + secret.len()).expect("secrets are at most 256 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&super::startup::CANCEL_REQUEST.to_be_bytes());
    out.extend_from_slice(&process.to_be_bytes());
    out.extend_from_slice(secret);
}

/// `SSLRequest`; has no type byte.
pub const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

/// `StartupMessage` of this protocol version; has no type byte.
pub fn startup<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    version: u32,
    parameters: impl IntoIterator<Item = (N, V)>,
) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&version.to_be_bytes());
    for (name, value) in parameters {
        string(out, name.as_ref());
        string(out, value.as_ref());
    }
    out.push(0);
    let len = u32::try_from(out.len() - at).expect("startup parameters are small");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header;

    #[test]
    fn a_made_message_has_the_length_that_its_header_says() {
        let mut out = Vec::new();
        error(&mut out, "FATAL", "08P01", "a\0b");
        let header = header(&out).expect("valid").expect("whole");
        assert_eq!((header.kind, header.len), (b'E', out.len()));
        assert!(out.windows(4).any(|window| window == b"Mab\0"));
    }
}

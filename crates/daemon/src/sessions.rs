//! `forebay sessions`: asks a running Forebay who is connected and what for, and prints its answer.
//!
//! One request over its HTTP port; the table is made there, so that whoever asks need not be of the same version.

use crate::cli::{SessionsArgs, SessionsSort};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// How long the other side may take, for each step.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read; ten thousand sessions are a few megabytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where a running Forebay serves its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Host and port.
    authority: String,
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<BaseUrl, String> {
        let expected = || "expected http://HOST:PORT such as http://127.0.0.1:9432".to_owned();
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(expected()),
            None => text,
        };
        let authority = rest.trim_end_matches('/');
        let port = authority
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        let plain = authority
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte));
        match port {
            Some(Ok(_)) if plain => Ok(BaseUrl {
                authority: authority.to_owned(),
            }),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Prints who is connected.
///
/// # Errors
/// When nobody answers there, or the answer is no.
pub fn sessions(args: &SessionsArgs) -> Result<()> {
    let url = &args.url;
    let answer = ask(url, &path(args)).with_context(|| {
        format!("cannot ask {url} (is Forebay running there, and are its metrics not off?)")
    })?;
    let (status, body) = read(&answer).with_context(|| format!("{url} does not speak HTTP"))?;
    match status {
        200 => {}
        404 => bail!("{url} knows no sessions: it is not Forebay, or an older one"),
        _ => bail!("{url} answers {status}: {}", body.trim_end()),
    }
    // Nobody reads any more: not our problem.
    let _ = std::io::stdout().write_all(body.as_bytes());
    Ok(())
}

fn path(args: &SessionsArgs) -> String {
    let sort = match args.sort {
        SessionsSort::Client => "client",
        SessionsSort::Age => "age",
    };
    let format = if args.json { "json" } else { "text" };
    let (pinned, limit) = (u8::from(args.pinned), args.limit);
    format!("/sessions?pinned={pinned}&sort={sort}&limit={limit}&format={format}")
}

/// One request, and everything that is answered. HTTP/1.0 has the answer in one piece, ended with its connection.
fn ask(url: &BaseUrl, path: &str) -> Result<Vec<u8>> {
    let mut stream = connect(&url.authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let authority = &url.authority;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn connect(authority: &str) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> = authority.to_socket_addrs()?.collect();
    let mut failed = None;
    for address in &addresses {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => bail!("the host has no address"),
    }
}

/// Status and body of an answer.
fn read(answer: &[u8]) -> Result<(u16, &str)> {
    let answer = std::str::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no header")?;
    let mut words = head.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse().ok());
    match status {
        Some(status) if version.starts_with("HTTP/1.") => Ok((status, body)),
        _ => bail!("no status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        for right in ["http://127.0.0.1:9432", "http://db-1.lan:80/", "[::1]:9432"] {
            assert!(right.parse::<BaseUrl>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            "127.0.0.1",
            "https://127.0.0.1:1",
            "a b:1",
            "h:70000",
            "h:1/x\r\n",
        ] {
            assert!(wrong.parse::<BaseUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = b"HTTP/1.0 403 Forbidden\r\ncontent-length: 3\r\n\r\nno\n";
        assert_eq!(read(answer).unwrap(), (403, "no\n"));
        for wrong in [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n", b"\xff"] {
            assert!(read(wrong).is_err());
        }
    }
}

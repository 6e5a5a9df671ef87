//! `/sessions`: who is connected and what for, as JSON or as a table for people.
//!
//! `?pinned=1` shows only sessions that keep their database connection, `?sort=age` those first whose state (with `pinned`, whose pin) has
//! lasted longest, `?limit=20` no more than so many, `?format=text` a table. Addresses, users and applications are nobody else's
//! business: unless the configuration says otherwise, only who comes from this machine is answered.

mod table;

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use forebay_core::sessions::{ROWS_MAX, SessionRow, SessionsAsked, SessionsReport, SessionsSort};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Whom to ask who is connected; may take a moment.
pub type Asker = Arc<dyn Fn(&SessionsAsked) -> SessionsReport + Send + Sync>;

/// Who may ask who is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Nobody.
    Nobody,
    /// Who comes from this machine.
    #[default]
    Loopback,
    /// Whoever reaches the port.
    Anyone,
}

/// Whom to ask, and who may.
#[derive(Clone)]
pub struct Sessions {
    /// Who may ask.
    pub audience: Audience,
    /// Whom to ask.
    pub asker: Asker,
}

/// The address of whoever asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

#[derive(Debug, PartialEq, Eq)]
struct Question {
    asked: SessionsAsked,
    is_text: bool,
}

/// Answers a request for `/sessions`.
pub(crate) async fn answer(
    sessions: Sessions,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if let Err(why) = admit(sessions.audience, peer.ip(), &headers) {
        return (StatusCode::FORBIDDEN, format!("{why}\n")).into_response();
    }
    let question = match question(uri.query().unwrap_or_default()) {
        Ok(question) => question,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    };
    // The workers' answers are waited for: not on the thread that serves the others.
    let asker = sessions.asker;
    let asking = tokio::task::spawn_blocking(move || asker(&question.asked));
    match asking.await {
        Ok(report) if question.is_text => table::table(&report).into_response(),
        Ok(report) => {
            let content = [(header::CONTENT_TYPE, "application/json")];
            (content, format!("{:#}\n", in_json(&report))).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether whoever asks may. A browser on this machine is made to ask by any page that it shows, under a name of that page's making: an
/// address in the request's `Host` cannot be made to mean another.
fn admit(audience: Audience, peer: IpAddr, headers: &HeaderMap) -> Result<(), &'static str> {
    match audience {
        Audience::Anyone => Ok(()),
        Audience::Nobody => {
            Err("sessions are not shown: see sessions_audience in the documentation")
        }
        Audience::Loopback if !peer.to_canonical().is_loopback() => Err(
            "sessions are shown to this machine only: see sessions_audience in the documentation",
        ),
        Audience::Loopback if !is_named_by_address(headers) => {
            Err("ask by address (127.0.0.1) or as localhost, not by another name")
        }
        Audience::Loopback => Ok(()),
    }
}

fn is_named_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn question(query: &str) -> Result<Question, String> {
    let mut question = Question {
        asked: SessionsAsked::default(),
        is_text: false,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "1")) {
            ("pinned", "1" | "true") => question.asked.pinned = true,
            ("pinned", "0" | "false") => question.asked.pinned = false,
            ("sort", "age") => question.asked.sort = SessionsSort::Age,
            ("sort", "client") => question.asked.sort = SessionsSort::Client,
            ("format", "json") => question.is_text = false,
            ("format", "text") => question.is_text = true,
            ("limit", number) => question.asked.limit = limit(number)?,
            _ => return Err("known are pinned=1, sort=age, limit=100 and format=text".to_owned()),
        }
    }
    Ok(question)
}

fn limit(number: &str) -> Result<usize, String> {
    let number = number.parse().ok();
    let number = number.filter(|number| (1..=ROWS_MAX).contains(number));
    number.ok_or_else(|| format!("limit must be 1 to {ROWS_MAX}"))
}

fn in_json(report: &SessionsReport) -> Value {
    json!({
        "clients": report.clients,
        "matching": report.matching,
        "workers_silent": report.workers_silent,
        "sessions": report.rows.iter().map(row_in_json).collect::<Vec<_>>(),
    })
}

fn row_in_json(row: &SessionRow) -> Value {
    let pin = row.pin.as_ref().map(|pin| {
        let statement = pin.statement.as_deref();
        json!({
            "reason": pin.reason.as_str(),
            "seconds": pin.lasts.as_secs_f64(),
            "fingerprint": statement.map(ToString::to_string),
            "statement": statement.map(|statement| &*statement.text),
        })
    });
    let backend = row.backend.as_ref().map(|backend| {
        json!({
            "number": backend.number,
            "pid": backend.process,
            "target": &*backend.target,
        })
    });
    json!({
        "client": row.client,
        "worker": row.worker,
        "address": &*row.address,
        "proxy": &*row.proxy,
        "endpoint": &*row.endpoint,
        "user": row.user.as_deref(),
        "database": row.database.as_deref(),
        "application_name": row.application.as_deref(),
        "tls": row.tls,
        "state": row.state.as_str(),
        "state_seconds": row.lasts.as_secs_f64(),
        "transaction_seconds": row.transaction.map(|open| open.as_secs_f64()),
        "pin": pin,
        "backend": backend,
    })
}

#[cfg(test)]
pub(crate) mod tests;

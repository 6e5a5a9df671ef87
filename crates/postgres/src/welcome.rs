//! What a client reads when its login is complete: what a server of its own would have told it.

use crate::login_cache::Work;
use crate::parting;
use crate::reports::Reports;
use crate::session::{Session, Stage};
use crate::wire::write;
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::{Map, Value};
use std::sync::Arc;

/// Longest name that a server keeps (`NAMEDATALEN` - 1), in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The login is complete: the client hears what a server of its own would have told it.
pub fn welcome(session: &mut Session, reports: &Arc<Reports>, orders: &mut Orders<Work>) {
    let Stage::Admission(admitting) = std::mem::replace(&mut session.stage, Stage::Ready) else {
        return;
    };
    let admitted = admitting.admitted;
    session.reports = Arc::clone(reports);
    session.welcome = Arc::clone(reports);
    session.process = admitted.process;
    session.secret = admitted.secret;
    let cut = cut_name(session.tracker.committed().map());
    orders.to_client(|out| {
        out.extend_from_slice(write::AUTHENTICATION_OK);
        if let Some(text) = cut {
            write::notice(out, "42622", &text);
        }
        for (name, value) in reports.iter() {
            write::parameter_status(out, name, value);
        }
        write::backend_key_data(out, admitted.process, &session.secret);
        write::ready_for_query(out, b'I');
    });
    orders.push(Order::ClientReady);
    parting::tell_limit(&Map::new(), session, orders);
}

/// What a server says of a name for an application that is longer than names are (`GUC_IS_NAME`, `truncate_identifier`).
fn cut_name(startup: &Map) -> Option<String> {
    let text = |name: &str| match startup.get(name)? {
        Value::Literal(text) | Value::Sql(text) => Some(&**text),
    };
    let name = text("application_name").filter(|name| name.len() > NAME_BYTES_MAX)?;
    let least = text("client_min_messages").unwrap_or("notice");
    let is_told = !["warning", "error"]
        .iter()
        .any(|level| least.eq_ignore_ascii_case(level));
    let kept = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    is_told.then(|| format!("identifier \"{name}\" will be truncated to \"{kept}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(startup: &[(&str, &str)]) -> Option<String> {
        let pair = |(name, value): &(&str, &str)| ((*name).into(), Value::Literal((*value).into()));
        cut_name(&startup.iter().map(pair).collect())
    }

    #[test]
    fn a_long_name_for_an_application_is_cut_and_that_is_told() {
        let (short, long) = ("a".repeat(63), "a".repeat(64));
        assert_eq!(told(&[("application_name", &short)]), None);
        let expected = format!("identifier \"{long}\" will be truncated to \"{short}\"");
        assert_eq!(told(&[("application_name", &long)]), Some(expected));
        let quiet = [
            ("application_name", &*long),
            ("client_min_messages", "WARNING"),
        ];
        assert_eq!(told(&quiet), None);
    }

    #[test]
    fn no_character_is_cut() {
        let long = format!("{}\u{e9}", "a".repeat(62));
        let told = told(&[("application_name", &long)]).expect("64 bytes");
        assert!(told.ends_with(&format!("\"{}\"", "a".repeat(62))));
    }
}

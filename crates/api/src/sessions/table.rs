//! Sessions as a table for people: a line each, columns as wide as what is in them.

use forebay_core::sessions::{SessionRow, SessionState, SessionsReport};
use std::fmt::Write as _;
use std::time::Duration;

const HEADINGS: [&str; 11] = [
    "CLIENT",
    "ADDRESS",
    "USER",
    "DATABASE",
    "ENDPOINT",
    "APPLICATION",
    "STATE",
    "BACKEND",
    "WORKER",
    "PINNED",
    "BY",
];

/// The table with its headings, and a last line that says what is not in it.
pub(super) fn table(report: &SessionsReport) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(report.rows.iter().map(columns));
    let mut widths = [0; HEADINGS.len()];
    for line in &lines {
        for (width, text) in widths.iter_mut().zip(line) {
            *width = (*width).max(text.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(widths) {
            write!(row, "{cell:width$}  ").expect("writing to a string does not fail");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text + &summary(report)
}

fn summary(report: &SessionsReport) -> String {
    let mut text = format!(
        "{} of {} sessions asked for; {} clients in all\n",
        report.rows.len(),
        report.matching,
        report.clients
    );
    if report.workers_silent > 0 {
        text += &format!(
            "{} workers did not answer in time: their clients are missing\n",
            report.workers_silent
        );
    }
    text
}

fn columns(row: &SessionRow) -> [String; HEADINGS.len()] {
    let shown = |text: Option<&str>| printable(text.unwrap_or("-"));
    let backend = row.backend.as_ref().map(|backend| {
        let (process, target) = (backend.process, &backend.target);
        format!("{process}@{target}")
    });
    let statement = row.pin.as_ref().and_then(|pin| pin.statement.as_ref());
    [
        row.client.to_string(),
        row.address.to_string(),
        shown(row.user.as_deref()),
        shown(row.database.as_deref()),
        format!("{}/{}", row.proxy, row.endpoint),
        shown(row.application.as_deref()),
        state(row),
        shown(backend.as_deref()),
        row.worker.to_string(),
        row.pin.as_ref().map_or_else(
            || "-".to_owned(),
            |pin| format!("{} {}", pin.reason.as_str(), seconds(pin.lasts)),
        ),
        statement.map_or_else(
            || "-".to_owned(),
            |statement| format!("{statement} {}", printable(&statement.text)),
        ),
    ]
}

fn state(row: &SessionRow) -> String {
    let state = format!("{} {}", row.state.as_str(), seconds(row.lasts));
    match row.transaction {
        Some(open) if row.state == SessionState::Active => {
            format!("{state} (transaction {})", seconds(open))
        }
        _ => state,
    }
}

/// Names are the clients' to choose: what would move the cursor is shown as what it is.
fn printable(text: &str) -> String {
    let control = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .flat_map(|c| match control(c) {
            true => c.escape_unicode().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        seconds @ 10..600 => format!("{seconds}s"),
        seconds @ 600..36_000 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::tests::pinned;

    #[test]
    fn a_line_tells_who_does_what_where_and_why_it_is_pinned() {
        let report = SessionsReport {
            clients: 9,
            matching: 4,
            workers_silent: 1,
            rows: vec![pinned()],
        };
        let text = table(&report);
        let lines: Vec<&str> = text.lines().collect();
        let cells: Vec<&str> = lines[1]
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect();
        let expected = [
            "7",
            "10.0.0.9:4711",
            "app",
            "shop",
            "orders/default",
            "web",
            "active 0.2s (transaction 3.0s)",
            "4321@db:5432",
            "1",
            "advisory_lock 11m",
            "000000000000beef select pg_advisory_lock(?)",
        ];
        assert_eq!(cells, expected);
        assert_eq!(lines[0].find("STATE"), lines[1].find("active"));
        assert_eq!(lines[2], "1 of 4 sessions asked for; 9 clients in all");
        assert!(lines[3].starts_with("1 workers did not answer"));
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }
}

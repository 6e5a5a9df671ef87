//! The text of `/metrics` for blocks with known figures.

use super::Metrics;
use forebay_core::event::{Event, EventKind, EventSink};
use forebay_core::metrics::{Availability, EndpointLabels, Registry, TargetLabels, WorkerLabels};
use forebay_core::snapshot::EngineFamily;
use forebay_core::snapshot::TargetRole;
use forebay_core::{PinReason, Refusal};
use std::sync::Arc;

#[test]
fn counters_are_sums_over_the_workers() {
    let registry = Registry::default();
    for (worker, requests) in [(0, 40), (1, 2)] {
        let block = registry.endpoint(endpoint(worker));
        block.query_requests_tls.add(requests);
        block.query_requests_no_tls.add(1);
        block.pins[PinReason::Listen as usize].add(1);
        block.refusals[Refusal::BorrowTimeout.number()].add(2);
    }
    let text = text(registry);
    assert_lines(
        &text,
        &[
            "# TYPE forebay_query_requests counter",
            "forebay_query_requests_total{proxy=\"orders\",endpoint=\"default\"} 44",
            "forebay_query_requests_tls_total{proxy=\"orders\",endpoint=\"default\"} 42",
            "forebay_query_requests_no_tls_total{proxy=\"orders\",endpoint=\"default\"} 2",
            "forebay_session_pins_total{proxy=\"orders\",endpoint=\"default\",reason=\"listen\"} 2",
            "forebay_session_pins_total{proxy=\"orders\",endpoint=\"default\",reason=\"seed\"} 0",
            "forebay_client_refusals_total{proxy=\"orders\",endpoint=\"default\",reason=\"borrow_timeout\"} 4",
            "forebay_client_refusals_total{proxy=\"orders\",endpoint=\"default\",reason=\"connect_rate\"} 0",
        ],
    );
}

#[test]
fn pins_are_told_by_reason_begun_ended_lasting_and_how_long() {
    let registry = Registry::default();
    let block = registry.endpoint(endpoint(0));
    let listen = PinReason::Listen as usize;
    block.pins[listen].add(3);
    block.pins_current[listen].add(1);
    block.pins_ended[listen].add(2);
    block.pinned_micros[listen].add(1_500_000);
    block.pin_duration.record(1_000_000);
    let labels = "proxy=\"orders\",endpoint=\"default\"";
    let listen = format!("{{{labels},reason=\"listen\"}}");
    assert_lines(
        &text(registry),
        &[
            &format!("forebay_session_pins_total{listen} 3"),
            &format!("forebay_session_pins_current{listen} 1"),
            &format!("forebay_session_pins_ended_total{listen} 2"),
            &format!("forebay_session_pinned_seconds_total{listen} 1.5"),
            &format!("forebay_session_pin_duration_seconds_count{{{labels}}} 1"),
        ],
    );
}

#[test]
fn a_gauge_that_one_worker_raised_and_another_lowered_is_their_sum() {
    let registry = Registry::default();
    registry.target(target(0)).database_connections.add(5);
    registry.target(target(1)).database_connections.sub(2);
    let text = text(registry);
    assert_lines(
        &text,
        &[
            "# TYPE forebay_database_connections gauge",
            "forebay_database_connections{proxy=\"orders\",target=\"db:5432\",role=\"READ_WRITE\"} 3",
        ],
    );
}

#[test]
fn a_gauge_below_zero_for_an_instant_is_shown_as_zero() {
    let registry = Registry::default();
    registry.endpoint(endpoint(0)).client_connections_tls.add(1);
    assert_lines(
        &text(registry),
        &[
            "forebay_client_connections_no_tls{proxy=\"orders\",endpoint=\"default\"} 0",
            "forebay_client_connections_tls{proxy=\"orders\",endpoint=\"default\"} 1",
        ],
    );
}

#[test]
fn figures_that_all_workers_share_are_not_added_up() {
    let registry = Registry::default();
    for worker in 0..3 {
        let block = registry.target(target(worker));
        block.max_database_connections_allowed.set(97);
        block.availability.set(Availability::Up as u64);
    }
    assert_lines(
        &text(registry),
        &[
            "forebay_max_database_connections_allowed{proxy=\"orders\",target=\"db:5432\",role=\"READ_WRITE\"} 97",
            "forebay_availability_percentage{proxy=\"orders\",target=\"db:5432\",role=\"READ_WRITE\"} 100",
        ],
    );
}

#[test]
fn what_nobody_knows_yet_is_not_shown_as_zero() {
    let registry = Registry::default();
    let block = registry.target(target(0));
    let labels = "{proxy=\"orders\",target=\"db:5432\",role=\"READ_WRITE\"}";
    let metrics = Metrics::new(Arc::new(registry), EventSink::null());
    let text = metrics.text();
    for name in [
        "availability_percentage",
        "max_database_connections_allowed",
    ] {
        assert!(!text.contains(&format!("forebay_{name}{{")), "{text}");
    }
    block.availability.set(Availability::Down as u64);
    let down = format!("forebay_availability_percentage{labels} 0");
    assert_lines(&metrics.text(), &[&down]);
}

#[test]
fn latencies_are_histograms_in_seconds() {
    let registry = Registry::default();
    let block = registry.endpoint(endpoint(0));
    for micros in [40, 90, 1_000_000] {
        block.query_response_latency.record(micros);
    }
    let name = "forebay_query_response_latency_seconds";
    let labels = "proxy=\"orders\",endpoint=\"default\"";
    assert_lines(
        &text(registry),
        &[
            "# UNIT forebay_query_response_latency_seconds seconds",
            &format!("{name}_sum{{{labels}}} 1.00013"),
            &format!("{name}_count{{{labels}}} 3"),
            &format!("{name}_bucket{{le=\"0.000048\",{labels}}} 1"),
            &format!("{name}_bucket{{le=\"0.000096\",{labels}}} 2"),
            &format!("{name}_bucket{{le=\"0.524288\",{labels}}} 2"),
            &format!("{name}_bucket{{le=\"1.048576\",{labels}}} 3"),
            &format!("{name}_bucket{{le=\"+Inf\",{labels}}} 3"),
        ],
    );
}

#[test]
fn workers_are_told_apart_by_number_and_driver() {
    let registry = Registry::default();
    for worker in 0..2 {
        let labels = WorkerLabels {
            engine: EngineFamily::Postgres,
            worker,
            driver: "epoll",
        };
        registry.worker(labels).loops.add(10 + u64::from(worker));
    }
    assert_lines(
        &text(registry),
        &[
            "forebay_worker_loops_total{worker=\"0\",driver=\"epoll\"} 10",
            "forebay_worker_loops_total{worker=\"1\",driver=\"epoll\"} 11",
            "forebay_bugs_total{worker=\"0\",driver=\"epoll\"} 0",
        ],
    );
}

#[test]
fn dropped_events_are_counted() {
    let (sender, _receiver) = std::sync::mpsc::sync_channel(1);
    let events = EventSink::new(sender);
    for _ in 0..3 {
        events.send(Event {
            worker: 0,
            proxy: None,
            endpoint: None,
            client: None,
            backend: None,
            kind: EventKind::Drained,
        });
    }
    let text = Metrics::new(Arc::default(), events).text();
    assert_lines(&text, &["forebay_events_dropped_total 2"]);
}

#[test]
fn the_version_is_there_and_the_end_is_marked() {
    let text = text(Registry::default());
    let info = format!(
        "forebay_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert_lines(&text, &[&info, "# EOF"]);
}

#[test]
fn every_metric_of_cloudwatch_has_its_name() {
    let registry = Registry::default();
    registry.endpoint(endpoint(0));
    registry.target(target(0));
    let text = text(registry);
    for name in CLOUDWATCH {
        assert!(text.contains(&format!("# TYPE forebay_{name} ")), "{name}");
    }
}

#[test]
fn a_label_with_quotes_is_escaped() {
    let registry = Registry::default();
    let mut labels = endpoint(0);
    labels.endpoint = Arc::from("a\"b");
    registry.endpoint(labels);
    let line = "forebay_client_connections{proxy=\"orders\",endpoint=\"a\\\"b\"} 0";
    assert_lines(&text(registry), &[line]);
}

/// Every metric of the group "Per-Proxy Metrics", in our spelling.
const CLOUDWATCH: [&str; 26] = [
    "availability_percentage",
    "client_connections",
    "client_connections_closed",
    "client_connections_in_setup",
    "client_connections_no_tls",
    "client_connections_tls",
    "client_connections_received",
    "client_connections_setup_failed_auth",
    "client_connections_setup_succeeded",
    "database_connection_requests",
    "database_connection_requests_with_tls",
    "database_connections",
    "database_connections_with_tls",
    "database_connections_borrow_latency_seconds",
    "database_connections_currently_borrowed",
    "database_connections_currently_in_transaction",
    "database_connections_currently_session_pinned",
    "database_connections_setup_failed",
    "database_connections_setup_succeeded",
    "max_database_connections_allowed",
    "query_database_response_latency_seconds",
    "target_query_database_response_latency_seconds",
    "query_requests",
    "query_requests_tls",
    "query_requests_no_tls",
    "query_response_latency_seconds",
];

fn endpoint(worker: u16) -> EndpointLabels {
    EndpointLabels {
        worker,
        proxy: Arc::from("orders"),
        endpoint: Arc::from("default"),
    }
}

fn target(worker: u16) -> TargetLabels {
    TargetLabels {
        worker,
        proxy: Arc::from("orders"),
        target: Arc::from("db:5432"),
        role: TargetRole::ReadWrite,
    }
}

fn text(registry: Registry) -> String {
    Metrics::new(Arc::new(registry), EventSink::null()).text()
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|other| other == *line),
            "{line}\nis missing in\n{text}"
        );
    }
}

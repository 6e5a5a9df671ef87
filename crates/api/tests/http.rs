//! The HTTP server over real loopback sockets.

use forebay_api::{Audience, Server, Sessions, StartError};
use forebay_core::event::EventSink;
use forebay_core::metrics::{Registry, WorkerLabels};
use forebay_core::sessions::SessionsReport;
use forebay_core::snapshot::EngineFamily;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn metrics_are_read_at_each_scrape() {
    let registry = Arc::new(Registry::default());
    let server = start(Arc::clone(&registry), || Ok(()));
    let block = registry.worker(WorkerLabels {
        engine: EngineFamily::Postgres,
        worker: 0,
        driver: "sim",
    });
    for loops in 1..3 {
        block.loops.add(1);
        let answer = get(server.address(), "/metrics");
        let line = format!("forebay_worker_loops_total{{worker=\"0\",driver=\"sim\"}} {loops}\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("application/openmetrics-text"), "{answer}");
        assert!(answer.contains(&line), "{answer}");
    }
    server.stop();
}

#[test]
fn health_is_good_while_readiness_follows_the_callback() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ready);
    let server = start(Arc::default(), move || match asked.load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err("no target is reachable".to_owned()),
    });
    let address = server.address();
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    let answer = get(address, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("not ready: no target is reachable\n"),
        "{answer}"
    );
    ready.store(true, Ordering::SeqCst);
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn the_index_links_to_the_others_and_unknown_paths_are_not_found() {
    let server = start(Arc::default(), || Ok(()));
    let index = get(server.address(), "/");
    for path in ["/metrics", "/healthz", "/readyz", "/sessions?format=text"] {
        assert!(index.contains(&format!("href=\"{path}\"")), "{index}");
    }
    assert!(get(server.address(), "/nowhere").starts_with("HTTP/1.1 404 "));
}

#[test]
fn sessions_are_asked_for_with_what_the_request_says_and_by_address_only() {
    let server = start(Arc::default(), || Ok(()));
    let ask = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n");
        send(server.address(), &request)
    };
    let answer = ask("/sessions?limit=17", "127.0.0.1:1");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"clients\": 17"), "{answer}");
    let answer = ask("/sessions?limit=17&format=text", "localhost");
    assert!(
        answer.ends_with("0 of 0 sessions asked for; 17 clients in all\n"),
        "{answer}"
    );
    assert!(ask("/sessions?limit=0", "localhost").starts_with("HTTP/1.0 400 "));
    assert!(ask("/sessions", "evil.example").starts_with("HTTP/1.0 403 "));
}

#[test]
fn only_reading_is_allowed() {
    let server = start(Arc::default(), || Ok(()));
    let answer = send(
        server.address(),
        "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn a_request_without_end_is_cut_off() {
    let server = start(Arc::default(), || Ok(()));
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    let line = [b'a'; 1024];
    let mut sent = 0;
    while stream.write_all(&line).is_ok() {
        sent += line.len();
        assert!(sent < 64 * 1024 * 1024, "still accepted after {sent} bytes");
    }
    assert!(get(server.address(), "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("bound");
    let result = Server::start(
        address,
        Arc::default(),
        EventSink::null(),
        nobody(Audience::Loopback),
        || Ok(()),
    );
    let error = result.expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen(..)));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot listen on {address} for metrics: ")),
        "{text}"
    );
}

#[test]
fn a_stopped_server_gives_its_port_back_even_with_an_open_connection() {
    let server = start(Arc::default(), || Ok(()));
    let address = server.address();
    let _idle = TcpStream::connect(address).expect("the server listens");
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

/// Sessions of a process without clients.
fn nobody(audience: Audience) -> Sessions {
    Sessions {
        audience,
        asker: Arc::new(|asked| SessionsReport {
            clients: asked.limit as u64,
            ..SessionsReport::default()
        }),
    }
}

fn start(
    registry: Arc<Registry>,
    ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> Server {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let sessions = nobody(Audience::Loopback);
    Server::start(address, registry, EventSink::null(), sessions, ready).expect("loopback is there")
}

fn get(address: SocketAddr, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
}

fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("it answers in text");
    answer
}

//! The `forebay` binary as a person or a script meets it: output, exit status, signals.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use support::{Directory, Forebay, forebay};

#[test]
fn the_example_file_is_right_as_it_stands() {
    let directory = Directory::with_example();
    let output = forebay(&["check", "--config", directory.config()]);
    assert_eq!(output.stderr, "");
    let expected = format!(
        "{}: ok\n\
         proxy orders (POSTGRESQL), users: app, reports\n  \
           endpoint default: 127.0.0.1:6432, READ_WRITE\n  \
           target db.example.org:5432\n",
        directory.config()
    );
    assert_eq!((output.status, output.stdout), (0, expected));
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let page = include_str!("../../../docs/operating/configuration.md");
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        let directory = Directory::with_example();
        directory.replace(&example.replace("/run/secrets/", "").replace("secrets/", ""));
        let output = forebay(&["check", "--config", directory.config()]);
        assert_eq!(
            (output.status, output.stderr.as_str()),
            (0, ""),
            "{example}"
        );
    }
}

#[test]
fn sessions_says_when_nobody_answers() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", free.local_addr().expect("bound"));
    drop(free);
    let output = forebay(&["sessions", "--url", &url]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    let expected = format!("forebay: cannot ask {url} (is Forebay running there");
    assert!(output.stderr.starts_with(&expected), "{}", output.stderr);
    assert_eq!(forebay(&["sessions", "--url", "https://x:1"]).status, 2);
}

#[test]
fn check_says_everything_that_is_wrong_and_fails() {
    let directory = Directory::with_example();
    directory.edit("driver = \"auto\"", "driver = \"fast\"");
    directory.edit("port = 5432", "port = 0");
    let output = forebay(&["check", "--config", directory.config()]);
    let file = directory.config();
    let expected = format!(
        "forebay: {file}:7: server.driver = \"fast\": must be auto, uring or epoll\n\
         forebay: {file}:62: proxies[0].target_group.targets[0].port = 0: must be 1 to 65535\n"
    );
    assert_eq!((output.status, output.stderr), (1, expected));
    assert_eq!(output.stdout, "");
}

#[test]
fn help_shows_commands_and_examples() {
    let output = forebay(&["--help"]);
    for text in [
        "run ",
        "serve ",
        "check ",
        "explain ",
        "forebay run postgres://",
    ] {
        assert!(output.stdout.contains(text), "{text}: {}", output.stdout);
    }
    let run = forebay(&["run", "--help"]).stdout;
    for text in [
        "--listen",
        "--metrics",
        "--workers",
        "--driver",
        "--max-connections",
        "--lease-order",
        "--require-tls",
        "PGPASSWORD",
    ] {
        assert!(run.contains(text), "{text}: {run}");
    }
}

#[test]
fn explain_says_what_the_documentation_shows() {
    let page = include_str!("../../../docs/operating/settings-and-pinning.md");
    let example = page.split("$ forebay explain \"").nth(1);
    let (sql, rest) = example.and_then(|rest| rest.split_once("\"\n")).unwrap();
    let expected = rest.split("```").next().unwrap();
    let output = forebay(&["explain", sql]);
    assert_eq!((output.status, output.stdout.as_str()), (0, expected));
}

#[test]
fn explain_writes_json_for_programs() {
    let output = forebay(&["explain", "--json", "SET a.b TO 'it''s'; LOAD 'c'"]);
    let statements: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(statements[0]["class"], "follows the client");
    assert_eq!(statements[0]["settings"][0]["name"], "a.b");
    assert_eq!(statements[0]["settings"][0]["value"], "'it''s'");
    assert_eq!(statements[1]["pins"][0]["reason"], "load_library");
    assert_eq!(statements.as_array().map(Vec::len), Some(2));
}

#[test]
fn the_version_is_printed() {
    let expected = format!("forebay {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(forebay(&["--version"]).stdout, expected);
}

#[test]
fn a_wrong_command_line_is_status_2_and_a_wrong_url_1() {
    for arguments in [
        &["run"][..],
        &["serve"],
        &["run", "postgres://a:b@c", "--workers", "0"],
        &["run", "postgres://a:b@c", "--listen", "nowhere"],
        &["run", "postgres://a:b@c", "--require-tls"],
        &["run", "postgres://a:b@c", "--lease-order", "random"],
    ] {
        assert_eq!(forebay(arguments).status, 2, "{arguments:?}");
    }
    let output = forebay(&["run", "sqlserver://app:hunter2@db/x"]);
    let expected = "forebay: URL: scheme = \"sqlserver\": not yet supported: only postgres://, mysql:// and mariadb:// are\n";
    assert_eq!((output.status, output.stderr.as_str()), (1, expected));
}

#[test]
fn a_taken_port_is_one_line_that_names_it() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    for arguments in [
        ["--listen", &taken, "--metrics", "off"],
        ["--listen", "127.0.0.1:0", "--metrics", &taken],
    ] {
        let mut all = vec![
            "run",
            "postgres://app:hunter2@127.0.0.1:1/x",
            "--log-level",
            "error",
        ];
        all.extend(arguments);
        let output = forebay(&all);
        assert_eq!(
            (output.status, output.stdout.as_str()),
            (1, ""),
            "{}",
            output.stderr
        );
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(output.stderr.contains(&taken), "{}", output.stderr);
        assert!(output.stderr.contains("in use"), "{}", output.stderr);
    }
}

#[test]
fn run_tells_where_everything_is_and_ends_well_at_sigterm() {
    let mut forebay = Forebay::start(&[
        "run",
        "postgres://o'brien:hunter2@127.0.0.1:1/shop",
        "--listen",
        "0",
        "--metrics",
        "0",
        "--workers",
        "2",
    ]);
    let listening = forebay.line("listening on ");
    let (address, rest) = listening.split_once(' ').expect("more follows");
    assert_eq!(rest, "(proxy default, endpoint default)");
    let metrics = forebay.line("metrics on http://");
    let metrics = metrics.strip_suffix("/metrics").expect("the path");
    assert!(forebay.line("driver ").ends_with(", 2 workers"));
    let connect = forebay.line("connect with: ");
    assert_eq!(
        connect,
        format!("psql 'postgres://o%27brien@{address}/shop'")
    );
    TcpStream::connect(address).expect("it listens");
    assert!(get(metrics, "/metrics").contains("forebay_build_info"));
    assert!(get(metrics, "/healthz").starts_with("HTTP/1.1 200 "));
    forebay.signal("TERM");
    let (status, log) = forebay.end();
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("SIGTERM: draining"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn json_logs_are_one_object_per_line() {
    let mut forebay = Forebay::start(&[
        "run",
        "postgres://app:x@127.0.0.1:1/x",
        "--listen",
        "0",
        "--metrics",
        "off",
        "--log-format",
        "json",
    ]);
    forebay.line("listening on ");
    forebay.signal("INT");
    let (status, log) = forebay.end();
    assert_eq!(status, 0, "{log}");
    let mut messages = Vec::new();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        messages.push(line["message"].as_str().expect("a message").to_owned());
    }
    assert!(
        messages.contains(&"SIGINT: draining".to_owned()),
        "{messages:?}"
    );
}

#[test]
fn where_it_listens_is_said_once_where_output_and_log_are_one() {
    for format in ["text", "json"] {
        let mut forebay = Forebay::start_with_one_output(&[
            "run",
            "postgres://app:x@127.0.0.1:1/x",
            "--listen",
            "0",
            "--metrics",
            "off",
            "--log-format",
            format,
        ]);
        // The last one of what is said.
        forebay.log_line("connect with: ");
        forebay.signal("TERM");
        let (_, all) = forebay.end();
        for said in ["listening on ", "driver ", "connect with: "] {
            assert_eq!(all.matches(said).count(), 1, "{said}: {all}");
        }
        let objects = all.lines().filter(|line| line.starts_with('{')).count();
        assert_eq!(objects == all.lines().count(), format == "json", "{all}");
    }
}

#[test]
fn sighup_takes_a_good_file_and_keeps_the_old_one_for_a_bad_one() {
    let directory = Directory::with_example();
    directory.edit("127.0.0.1:6432", "127.0.0.1:0");
    let mut forebay = Forebay::start(&[
        "serve",
        "--config",
        directory.config(),
        "--metrics",
        "off",
        "--driver",
        "auto",
    ]);
    forebay.line("listening on ");
    directory.edit("idle_client_timeout = 1800", "idle_client_timeout = 900");
    directory.edit("driver = \"auto\"", "driver = \"epoll\"");
    forebay.signal("HUP");
    forebay.log_line("[server] has changed, which needs a restart");
    forebay.log_line("idle_client_timeout 30m, now 15m");
    directory.edit("lease_order = \"recent\"", "lease_order = \"any\"");
    forebay.signal("HUP");
    forebay.log_line("the old configuration stays");
    forebay.log_line("lease_order = \"any\": must be recent or rotate");
    forebay.signal("TERM");
    assert_eq!(forebay.end().0, 0);
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

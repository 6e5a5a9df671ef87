//! What a reload says it changed.

mod support;

use forebay_control::differences;
use support::{Directory, GOOD, with};

#[test]
fn each_change_is_a_line_and_no_change_is_none() {
    let table = [
        (GOOD.to_owned(), vec![]),
        (
            with(
                "name = \"orders\"",
                "name = \"orders\"\nidle_client_timeout = 900",
            ),
            vec!["proxy orders: idle_client_timeout 30m, now 15m"],
        ),
        (
            with("name = \"orders\"", "name = \"orders\"\nmax_clients = 5"),
            vec!["proxy orders: max_clients unlimited, now 5"],
        ),
        (
            with("name = \"orders\"", "name = \"shop\""),
            vec!["proxy orders: removed", "proxy shop: added"],
        ),
        (
            with("password_env = \"APP_PASSWORD\"", "password = \"other\""),
            vec!["proxy orders: user app: password changed"],
        ),
        (
            with(
                "password_env = \"APP_PASSWORD\"",
                "password_env = \"APP_PASSWORD\"\nprevious_password = \"old\"",
            ),
            vec!["proxy orders: user app: previous password changed"],
        ),
        (
            with("username = \"app\"", "username = \"web\""),
            vec![
                "proxy orders: user app removed",
                "proxy orders: user web added",
            ],
        ),
        (
            with(
                "secret = \"app\"",
                "secret = \"app\", client_password_auth_type = \"POSTGRES_MD5\"",
            ),
            vec![
                "proxy orders: user app: client_password_auth_type POSTGRES_SCRAM_SHA_256, now POSTGRES_MD5",
            ],
        ),
        (
            with("6432", "6433"),
            vec!["proxy orders: endpoint default: listen 127.0.0.1:6432, now 127.0.0.1:6433"],
        ),
        (
            with(
                "listen = \"127.0.0.1:6432\"",
                "name = \"main\"\nlisten = \"127.0.0.1:6432\"",
            ),
            vec![
                "proxy orders: endpoint default removed",
                "proxy orders: endpoint main added",
            ],
        ),
        (
            with(
                "[proxies.target_group]",
                "[proxies.target_group]\nmax_connections_percent = 80\ninit_query = \"SET x = 1\"",
            ),
            vec![
                "proxy orders: max_connections_percent 100, now 80",
                "proxy orders: max_idle_connections_percent 50, now 40",
                "proxy orders: init_query changed",
            ],
        ),
        (
            with(
                "[proxies.target_group]",
                "[proxies.target_group]\nsession_pinning_filters = [\"EXCLUDE_VARIABLE_SETS\"]",
            ),
            vec![
                "proxy orders: session_pinning_filters changed, for clients that connect from now on",
            ],
        ),
        (
            with("host = \"db.example.org\"", "host = \"db2\""),
            vec![
                "proxy orders: target db.example.org:5432 removed",
                "proxy orders: target db2:5432 added",
            ],
        ),
        (
            with(
                "host = \"db.example.org\"",
                "host = \"db.example.org\"\ntls = { mode = \"require\" }",
            ),
            vec![
                "proxy orders: target db.example.org:5432: tls changed (mode prefer, now require)",
            ],
        ),
    ];
    let directory = Directory::new();
    let old = directory.load(GOOD).expect("it is right").snapshot;
    for (text, lines) in table {
        let new = directory.load(&text).expect("it is right").snapshot;
        assert_eq!(differences(&old, &new), lines, "{text}");
    }
}

#[test]
fn a_renewed_certificate_is_a_change() {
    let directory = Directory::new();
    let tls =
        "name = \"orders\"\ntls = { certificate = \"proxy.pem\", private_key = \"proxy.key\" }";
    let text = with("name = \"orders\"", tls);
    directory.certificate("proxy");
    let old = directory.load(&text).expect("it is right").snapshot;
    let same = directory.load(&text).expect("it is right").snapshot;
    directory.certificate("proxy");
    let new = directory.load(&text).expect("it is right").snapshot;
    assert!(differences(&old, &same).is_empty());
    assert_eq!(
        differences(&old, &new),
        ["proxy orders: tls: certificate, key or client_ca changed"]
    );
}

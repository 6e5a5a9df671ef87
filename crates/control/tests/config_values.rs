//! Right files, and what they become.

mod support;

use forebay_control::config::{Driver, LogFormat, ServerConfig, SessionsAudience};
use forebay_core::PinReason;
use forebay_core::snapshot::{
    ClientAuth, CustomSettings, LeaseOrder, PoolLimits, SessionRules, TlsMode,
};
use secrecy::ExposeSecret;
use std::time::Duration;
use support::{Directory, GOOD, with};

#[test]
fn what_is_left_out_has_the_defaults_of_rds() {
    let loaded = Directory::new().load(GOOD).expect("it is right");
    assert_eq!(loaded.server, ServerConfig::default());
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.snapshot.generation, 1);
    let proxy = &loaded.snapshot.proxies[0];
    assert_eq!(&*proxy.name, "orders");
    assert!(!proxy.require_tls && proxy.tls.is_none());
    assert_eq!(proxy.idle_client_timeout, Duration::from_secs(1800));
    assert_eq!(proxy.login_timeout, Duration::from_secs(30));
    assert_eq!(
        (proxy.clients_max, proxy.connect_rate_max),
        (u32::MAX, u32::MAX)
    );
    assert_eq!(proxy.target_group.limits, PoolLimits::default());
    assert_eq!(proxy.credentials[0].client_auth, ClientAuth::ScramSha256);
    assert_eq!(&*proxy.endpoints[0].name, "default");
    let target = &proxy.target_group.targets[0];
    assert_eq!((&*target.host, target.port), ("db.example.org", 5432));
    assert_eq!(target.tls.mode, TlsMode::Prefer);
}

#[test]
fn every_key_of_the_target_group_reaches_the_snapshot() {
    let group = r#"[proxies.target_group]
max_connections_percent = 61
connection_borrow_timeout = "500ms"
init_query = "SET x = 1"
max_connections = 90
pool_size_max = 40
min_connections = 2
backend_lifetime_max = "1h"
backend_idle_timeout = 60
queue_max = 100
dial_concurrency_max = 3
lease_order = "rotate"
session_pinning_filters = ["EXCLUDE_VARIABLE_SETS"]
custom_settings = "shared"
tainting_functions = ["Set_Global", "plv8_reset", "set_global"]"#;
    let loaded = Directory::new()
        .load(&with("[proxies.target_group]", group))
        .expect("it is right");
    let expected = PoolLimits {
        connections_max_percent: 61,
        connections_max: 90,
        idle_connections_max_percent: 30,
        pool_size_max: 40,
        pool_size_min: 2,
        borrow_timeout: Duration::from_millis(500),
        init_query: "SET x = 1".into(),
        idle_timeout: Duration::from_secs(60),
        lifetime_max: Duration::from_secs(3600),
        queue_max: 100,
        dials_max: 3,
        lease_order: LeaseOrder::Rotate,
    };
    let group = &loaded.snapshot.proxies[0].target_group;
    assert_eq!(group.limits, expected);
    let rules = SessionRules {
        unpinned: vec![
            PinReason::SetConfig,
            PinReason::UntrackedSetting,
            PinReason::UnexplainedReport,
            PinReason::UserVariable,
            PinReason::OneShotSetting,
        ],
        custom_settings: CustomSettings::Shared,
        tainting_functions: vec!["plv8_reset".into(), "set_global".into()],
    };
    assert_eq!(*group.rules, rules);
}

#[test]
fn every_key_of_the_server_is_read() {
    let server = "[server]\nworkers = 2\ndriver = \"epoll\"\nmetrics = \"off\"\nsessions_audience = \"any\"\nlog_format = \"json\"\ndrain_timeout = \"1m\"\n[[secrets]]";
    let loaded = Directory::new()
        .load(&with("\n[[secrets]]", server))
        .expect("it is right");
    let expected = ServerConfig {
        workers: std::num::NonZeroUsize::new(2),
        driver: Driver::Epoll,
        metrics: None,
        sessions_audience: SessionsAudience::Any,
        log_format: LogFormat::Json,
        drain_timeout: Duration::from_secs(60),
    };
    assert_eq!(loaded.server, expected);
}

#[test]
fn a_password_comes_from_wherever_it_is() {
    let directory = Directory::new();
    directory.file("line", "hunter2\n");
    directory.file("crlf", "hunter2\r\n");
    directory.file("two", "hunter2\n\n");
    directory.file(
        "rds.json",
        r#"{"engine":"postgres","host":"db","port":5432,"username":"app","password":"hunter2"}"#,
    );
    let table = [
        ("password_env = \"APP_PASSWORD\"", "hunter2"),
        ("password = \"hunter2\"", "hunter2"),
        ("password_file = \"line\"", "hunter2"),
        ("password_file = \"crlf\"", "hunter2"),
        ("password_file = \"two\"", "hunter2\n"),
        ("file = \"rds.json\"", "hunter2"),
    ];
    for (source, password) in table {
        let loaded = directory
            .load(&with("password_env = \"APP_PASSWORD\"", source))
            .expect(source);
        let credential = &loaded.snapshot.proxies[0].credentials[0];
        assert_eq!(credential.username, "app", "{source}");
        assert_eq!(credential.password.expose_secret(), password, "{source}");
    }
}

#[test]
fn the_user_may_be_in_the_secrets_file_alone_but_not_differ() {
    let directory = Directory::new();
    directory.file("rds.json", r#"{"username":"web","password":"hunter2"}"#);
    let text = with("password_env = \"APP_PASSWORD\"", "file = \"rds.json\"");
    let errors = directory.load(&text).expect_err("app is not web");
    let line = "DIR/forebay.toml:4: secrets[0].username = \"app\": the secret's file says \"web\": leave username out, or correct one";
    assert_eq!(errors, [line]);
    let loaded = directory
        .load(&text.replace("username = \"app\"\n", ""))
        .expect("it is right");
    assert_eq!(loaded.snapshot.proxies[0].credentials[0].username, "web");
}

#[test]
fn a_secret_may_have_the_password_of_before_as_well() {
    let directory = Directory::new();
    directory.file("old", "hunter1\n");
    directory.file("rds.json", r#"{"username":"app","password":"hunter1"}"#);
    let before = [
        "previous_password = \"hunter1\"",
        "previous_password_file = \"old\"",
        "previous_file = \"rds.json\"",
    ];
    for source in before {
        let both = format!("password = \"hunter2\"\n{source}");
        let text = with("password_env = \"APP_PASSWORD\"", &both);
        let loaded = directory.load(&text).expect(source);
        let credential = &loaded.snapshot.proxies[0].credentials[0];
        let passwords = credential
            .versions()
            .map(|version| (&*version.username, version.password.expose_secret()));
        let passwords: Vec<_> = passwords.collect();
        assert_eq!(
            passwords,
            [("app", "hunter2"), ("app", "hunter1")],
            "{source}"
        );
    }
}

#[test]
fn files_that_everyone_may_read_are_warned_about() {
    let directory = Directory::new();
    directory.certificate("proxy");
    let key = std::fs::read_to_string(directory.path().join("proxy.key")).expect("just written");
    directory.file_with_mode("proxy.key", &key, 0o644);
    directory.file_with_mode("app", "hunter2", 0o644);
    let text = with("password_env = \"APP_PASSWORD\"", "password_file = \"app\"").replace(
        "name = \"orders\"",
        "name = \"orders\"\ntls = { certificate = \"proxy.pem\", private_key = \"proxy.key\" }",
    );
    let loaded = directory.load(&text).expect("it is right");
    let warnings: Vec<String> = loaded
        .warnings
        .iter()
        .map(|warning| directory.line(warning))
        .collect();
    let expected = [
        "DIR/forebay.toml:5: secrets[0].password_file: every user of this machine may read DIR/app: chmod 600",
        "DIR/forebay.toml:9: proxies[0].tls.private_key: every user of this machine may read DIR/proxy.key: chmod 600",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn certificates_become_der() {
    let directory = Directory::new();
    directory.certificate("proxy");
    directory.certificate("ca");
    let text = with(
        "name = \"orders\"",
        "name = \"orders\"\nrequire_tls = true\ntls = { certificate = \"proxy.pem\", private_key = \"proxy.key\", client_ca = \"ca.pem\" }",
    )
    .replace(
        "host = \"db.example.org\"",
        "host = \"db\"\ntls = { mode = \"require\", ca = \"ca.pem\", certificate = \"proxy.pem\", private_key = \"proxy.key\" }",
    );
    let loaded = directory.load(&text).expect("it is right");
    let proxy = &loaded.snapshot.proxies[0];
    let tls = proxy.tls.as_ref().expect("it was given");
    assert_eq!(
        (tls.identity.chain.len(), tls.client_authorities.len()),
        (1, 1)
    );
    assert_eq!(tls.identity.key[0], 0x30, "DER begins with a sequence");
    let target = &proxy.target_group.targets[0].tls;
    assert_eq!(
        target.mode,
        TlsMode::VerifyCa,
        "libpq: require with an authority verifies"
    );
    assert_eq!(target.authorities, tls.client_authorities);
    assert!(target.identity.is_some());
}

/// What `openssl x509 -req -signkey` makes without extensions: a certificate of version 1. Made for this test alone.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBLTCB1QIUFVa0DqFJ7DpxDJgpDwueTgvT6F4wCgYIKoZIzj0EAwIwGTEXMBUG
A1UEAwwOZGIuZXhhbXBsZS5vcmcwIBcNMjYxMTIxMTUxOTU0WhgPMjEyNjEwMjgx
NTE5NTRaMBkxFzAVBgNVBAMMDmRiLmV4YW1wbGUub3JnMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEORXjkCIZOlrMPJ9VNyhjGThy8Gy/P35suqylrwk3dK90ipbN
lsO3aYEnWVR4iQE08hn5OwX05RVHg7wfPDVErTAKBggqhkjOPQQDAgNHADBEAiAv
atM9rBYMTaDdfStWh285loz9SuRnPwBTly4qO97vZQIgAVPuOGEpJVTc5o8vlJ+i
p2/2AW4Au2urjREQLd7SC4A=
-----END CERTIFICATE-----
";
const VERSION_1_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQguuqlcT+Np+T4oePN
BNd+rYJp+eRdodua8/WSYVAN2eOhRANCAAQ5FeOQIhk6Wsw8n1U3KGMZOHLwbL8/
fmy6rKWvCTd0r3SKls2Ww7dpgSdZVHiJATTyGfk7BfTlFUeDvB88NUSt
-----END PRIVATE KEY-----
";

#[test]
fn a_certificate_of_version_1_will_do_where_only_the_key_counts() {
    let directory = Directory::new();
    directory.file("old.pem", VERSION_1);
    directory.file("old.key", VERSION_1_KEY);
    let tls = "name = \"orders\"\ntls = { certificate = \"old.pem\", private_key = \"old.key\" }";
    let loaded = directory.load(&with("name = \"orders\"", tls));
    let snapshot = loaded.expect("the key belongs to it").snapshot;
    assert!(snapshot.proxies[0].tls.is_some());
}

#[test]
fn a_secret_or_an_authority_without_use_is_warned_about() {
    let directory = Directory::new();
    directory.certificate("ca");
    let text = with(
        "[[proxies]]",
        "[[secrets]]\nname = \"spare\"\nusername = \"spare\"\npassword_env = \"APP_PASSWORD\"\n[[proxies]]",
    )
    .replace("host = \"db.example.org\"", "host = \"db\"\ntls = { ca = \"ca.pem\" }");
    let loaded = directory.load(&text).expect("it is right");
    let warnings: Vec<String> = loaded
        .warnings
        .iter()
        .map(|warning| directory.line(warning))
        .collect();
    let expected = [
        "DIR/forebay.toml:7: secrets[1]: secret \"spare\" is used by no proxy",
        "DIR/forebay.toml:20: proxies[0].target_group.targets[0].tls.ca: is not used: only verify-ca and verify-full (and require, which then means verify-ca) look at it",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn a_snapshot_does_not_show_its_passwords() {
    let directory = Directory::new();
    directory.certificate("proxy");
    let tls =
        "name = \"orders\"\ntls = { certificate = \"proxy.pem\", private_key = \"proxy.key\" }";
    let loaded = directory
        .load(&with("name = \"orders\"", tls))
        .expect("it is right");
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("key: "), "{shown}");
}

#[test]
fn bounds_that_another_bound_makes_idle_are_warned_of() {
    let group = "[proxies.target_group]";
    let table = [
        (
            "max_connections = 4\npool_size_max = 5",
            "DIR/forebay.toml:15: proxies[0].target_group.pool_size_max: 5 is never reached: max_connections is 4",
        ),
        (
            "backend_idle_timeout = \"2h\"\nbackend_lifetime_max = \"1h\"",
            "DIR/forebay.toml:14: proxies[0].target_group.backend_idle_timeout: no backend is ever trimmed: backend_idle_timeout (2h) is not below backend_lifetime_max (1h)",
        ),
        (
            "backend_lifetime_max = 60",
            "DIR/forebay.toml:14: proxies[0].target_group.backend_lifetime_max: no backend is ever trimmed: backend_idle_timeout (5m) is not below backend_lifetime_max (1m)",
        ),
    ];
    for (keys, expected) in table {
        let directory = Directory::new();
        let loaded = directory.load(&with(group, &format!("{group}\n{keys}")));
        let warnings = loaded.expect("it is right").warnings;
        let lines: Vec<_> = warnings.iter().map(|line| directory.line(line)).collect();
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn warm_pools_of_all_users_that_exceed_the_bound_are_warned_of() {
    let two = with(
        "{ secret = \"app\" }",
        "{ secret = \"app\" }, { secret = \"web\" }",
    )
    .replace(
        "[proxies.target_group]",
        "[proxies.target_group]\nmax_connections = 5\nmin_connections = 3",
    ) + "[[secrets]]\nname = \"web\"\nusername = \"web\"\npassword_env = \"APP_PASSWORD\"\n";
    let directory = Directory::new();
    let warnings = directory.load(&two).expect("it is right").warnings;
    let lines: Vec<_> = warnings.iter().map(|line| directory.line(line)).collect();
    assert_eq!(
        lines,
        [
            "DIR/forebay.toml:15: proxies[0].target_group.min_connections: 3 for each of 2 users makes 6, and max_connections is 5: their pools will not all be warm; lower the one or raise the other"
        ]
    );
}

#[test]
fn proxies_that_take_more_of_one_database_than_there_is_are_warned_of() {
    let second = GOOD
        .replace("\"app\"", "\"web\"")
        .replace("orders", "shop")
        .replace("6432", "6433");
    let directory = Directory::new();
    let warnings = directory
        .load(&format!("{GOOD}{second}"))
        .expect("it is right")
        .warnings;
    let lines: Vec<_> = warnings.iter().map(|line| directory.line(line)).collect();
    assert_eq!(
        lines,
        [
            "DIR/forebay.toml:30: proxies[1].target_group.targets[0].host: the proxies orders, shop may take 200 % of the connections of db.example.org:5432 together: let their max_connections_percent add up to at most 100"
        ]
    );
    let half = |text: &str| {
        text.replace(
            "[proxies.target_group]",
            "[proxies.target_group]\nmax_connections_percent = 50",
        )
    };
    let halves = format!("{}{}", half(GOOD), half(&second));
    assert_eq!(directory.load(&halves).expect("it is right").warnings, []);
}

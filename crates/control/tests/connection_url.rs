//! Connection URLs, right and wrong.

mod support;

use forebay_control::connection_url::{FromUrl, RunOptions, read};
use forebay_core::snapshot::{ClientAuth, LeaseOrder, TlsMode};
use secrecy::ExposeSecret;
use std::time::Duration;
use support::Directory;

#[test]
fn a_url_is_a_proxy_with_one_user_and_one_target() {
    let options = RunOptions {
        connections_max: Some(20),
        pool_size_min: 3,
        lease_order: LeaseOrder::Rotate,
        borrow_timeout: Duration::from_secs(5),
        client_auth: Some(ClientAuth::Md5),
        ..RunOptions::default()
    };
    let url =
        "postgresql://app:p%40ss@db.example.org:5433/orders?sslmode=require&application_name=x";
    let made = read(url, &options, 7, &nothing).expect("it is right");
    assert_eq!(
        (made.user.as_str(), made.database.as_str()),
        ("app", "orders")
    );
    assert_eq!(
        lines(&made),
        ["URL: application_name: is ignored: clients give their own"]
    );
    assert_eq!(made.snapshot.generation, 7);
    let proxy = &made.snapshot.proxies[0];
    assert_eq!(&*proxy.name, "default");
    assert_eq!(proxy.endpoints[0].listen.to_string(), "127.0.0.1:6432");
    assert_eq!(proxy.credentials[0].password.expose_secret(), "p@ss");
    assert_eq!(proxy.credentials[0].client_auth, ClientAuth::Md5);
    let limits = &proxy.target_group.limits;
    assert_eq!((limits.connections_max, limits.pool_size_min), (20, 3));
    assert_eq!(limits.lease_order, LeaseOrder::Rotate);
    assert_eq!(limits.borrow_timeout, Duration::from_secs(5));
    let target = &proxy.target_group.targets[0];
    assert_eq!((&*target.host, target.port), ("db.example.org", 5433));
    assert_eq!(target.tls.mode, TlsMode::Require);
}

#[test]
fn what_a_url_leaves_out_has_libpqs_defaults() {
    let made = read("postgres://app@[::1]", &RunOptions::default(), 1, &password).expect("right");
    assert_eq!(made.database, "app");
    let proxy = &made.snapshot.proxies[0];
    assert_eq!(
        proxy.credentials[0].password.expose_secret(),
        "from the environment"
    );
    let target = &proxy.target_group.targets[0];
    assert_eq!((&*target.host, target.port), ("::1", 5432));
    assert_eq!(target.tls.mode, TlsMode::Prefer);
}

#[test]
fn a_wrong_url_is_a_line_that_does_not_repeat_it() {
    let escapes = "characters such as @ : / ? # % in user, password or database are written as %40 %3A %2F %3F %23 %25";
    let table = [
        ("app", format!("URL: not a URL: relative URL without a base; expected postgres://user:password@host:5432/database, or mysql:// or mariadb://; {escapes}")),
        ("postgres://app:hunter2@db:99999/x", format!("URL: not a URL: invalid port number; expected postgres://user:password@host:5432/database, or mysql:// or mariadb://; {escapes}")),
        ("sqlserver://app:hunter2@db/x", "URL: scheme = \"sqlserver\": not yet supported: only postgres://, mysql:// and mariadb:// are".to_owned()),
        ("http://app:hunter2@db/x", "URL: scheme = \"http\": must be postgres, postgresql, mysql or mariadb".to_owned()),
        ("postgres://:hunter2@db/x", format!("URL: user: missing: postgres://USER:password@host/database; {escapes}")),
        ("postgres://app@db/x", "URL: password: missing: postgres://user:PASSWORD@host/database, or the environment variable PGPASSWORD".to_owned()),
        ("postgres://app:hunter2@db/x#y", format!("URL: holds a bare #; {escapes}")),
        ("postgres://app:%ff@db/x", format!("URL: password: not percent-encoded UTF-8; {escapes}")),
        ("postgres://app:hunter2@db,db2/x", "URL: host = \"db,db2\": must be one host; several need a file: forebay serve --config".to_owned()),
        ("postgres://app:hunter2@%2Fvar%2Frun/x", "URL: host = \"/var/run\": is a Unix socket; only TCP is supported".to_owned()),
        ("postgres://app:hunter2@db/x?sslmode=allow", "URL: sslmode = \"allow\": must be disable, prefer, require, verify-ca or verify-full".to_owned()),
        ("postgres://app:hunter2@db/x?sslmod=require", "URL: sslmod: not supported; known are sslmode, sslrootcert, sslcert, sslkey (and MySQL's ssl-mode, ssl-ca, ssl-cert, ssl-key)".to_owned()),
        ("postgres://app:hunter2@db/x?sslcert=a.pem", "URL: sslcert: needs sslkey as well".to_owned()),
        ("postgres://app:hunter2@db/x?sslrootcert=/none.pem", "URL: sslrootcert: cannot read /none.pem: No such file or directory (os error 2)".to_owned()),
        ("postgres://app:hunter2@db/x?sslmode=require&sslrootcert=system", "URL: sslrootcert: system needs sslmode=verify-full (any weaker check would prove nothing)".to_owned()),
    ];
    for (url, line) in table {
        let errors = read(url, &RunOptions::default(), 1, &nothing).expect_err(url);
        // The first line: a bad certificate also makes its mode useless, which may be told as well.
        let text = errors.to_string();
        assert_eq!(text.lines().next(), Some(line.as_str()), "{url}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_host_must_be_there() {
    for url in ["postgres:///x", "postgres://", "postgres:x"] {
        let errors = read(url, &RunOptions::default(), 1, &password).expect_err(url);
        assert!(errors.to_string().contains("missing"), "{url}: {errors}");
    }
}

#[test]
fn files_of_the_url_and_of_the_options_are_read() {
    let directory = Directory::new();
    directory.certificate("one");
    let file = |name: &str| directory.path().join(name);
    let (pem, key) = (file("one.pem"), file("one.key"));
    let url = format!(
        "postgres://app:hunter2@db/x?sslmode=verify-full&sslrootcert={0}&sslcert={0}&sslkey={1}",
        pem.display(),
        key.display()
    );
    let options = RunOptions {
        require_tls: true,
        tls_certificate: Some(pem),
        tls_key: Some(key),
        ..RunOptions::default()
    };
    let made = read(&url, &options, 1, &nothing).expect("it is right");
    let proxy = &made.snapshot.proxies[0];
    assert!(proxy.require_tls && proxy.tls.is_some());
    let tls = &proxy.target_group.targets[0].tls;
    assert_eq!((tls.mode, tls.authorities.len()), (TlsMode::VerifyFull, 1));
    assert!(tls.identity.is_some());
}

#[test]
fn wrong_options_are_named_as_on_the_command_line() {
    let options = RunOptions {
        require_tls: true,
        idle_client_timeout: Duration::from_secs(9 * 3600),
        ..RunOptions::default()
    };
    let errors = read("postgres://app:x@db/x", &options, 1, &nothing).expect_err("two errors");
    let expected = "command line: --require-tls: needs --tls-cert FILE and --tls-key FILE\n\
        command line: --idle-client-timeout = 9h: must be 1s to 8h, in whole seconds or as \"500ms\", \"90s\", \"30m\", \"24h\"";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn addresses_and_sizes_of_the_command_line_must_not_exclude_each_other() {
    let options = RunOptions {
        listen: "0.0.0.0:9432".parse().expect("an address"),
        connections_max: Some(4),
        pool_size_min: 5,
        pool_size_max: Some(3),
        ..RunOptions::default()
    };
    let errors = read("postgres://app:x@localhost:9432/x", &options, 1, &nothing);
    let expected = "command line: --listen = 0.0.0.0:9432: is the database of the URL: choose another port for clients\n\
        command line: --listen = 0.0.0.0:9432: is taken by --metrics 127.0.0.1:9432: choose another port for one of them\n\
        command line: --pool-size-min = 5: must be 0 to --max-connections (4)\n\
        command line: --pool-size-min = 5: must be 0 to --pool-size-max (3)";
    assert_eq!(errors.expect_err("three errors").to_string(), expected);
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn password(name: &str) -> Option<String> {
    (name == "PGPASSWORD").then(|| "from the environment".to_owned())
}

fn lines(made: &FromUrl) -> Vec<String> {
    made.warnings.iter().map(ToString::to_string).collect()
}

//! Wrong files, and the exact lines they give.

mod support;

use support::{Directory, GOOD, with};

#[test]
fn each_wrong_value_is_one_line_with_key_value_and_fix() {
    let group = "[proxies.target_group]";
    let name = "name = \"orders\"";
    let percents = "max_connections_percent = 60\nmax_idle_connections_percent = 80";
    let duration = "in whole seconds or as \"500ms\", \"90s\", \"30m\", \"24h\"";
    let table = [
        (name, "name = \"1st\"", "DIR/forebay.toml:8: proxies[0].name = \"1st\": must be 1 to 63 ASCII letters, digits and single hyphens, a letter first, no hyphen at the end".to_owned()),
        (name, "name = 7", "DIR/forebay.toml:8: proxies[0].name = 7: must be a string".to_owned()),
        (name, "", "DIR/forebay.toml:7: proxies[0].name: missing: a name for the proxy, such as \"orders\"".to_owned()),
        ("engine_family = \"POSTGRESQL\"", "engine_family = \"SQLSERVER\"", "DIR/forebay.toml:9: proxies[0].engine_family = \"SQLSERVER\": not yet supported: only \"POSTGRESQL\" and \"MYSQL\" are".to_owned()),
        ("engine_family = \"POSTGRESQL\"", "engine_family = \"postgresql\"", "DIR/forebay.toml:9: proxies[0].engine_family = \"postgresql\": must be \"POSTGRESQL\" or \"MYSQL\" (in capitals)".to_owned()),
        ("secret = \"app\"", "secret = \"web\"", "DIR/forebay.toml:10: proxies[0].auth[0].secret = \"web\": no such secret; there are: app".to_owned()),
        ("secret = \"app\"", "secret = \"app\", client_password_auth_type = \"MYSQL_NATIVE_PASSWORD\"", "DIR/forebay.toml:10: proxies[0].auth[0].client_password_auth_type = \"MYSQL_NATIVE_PASSWORD\": must be POSTGRES_SCRAM_SHA_256, POSTGRES_MD5 or POSTGRES_CLEAR_TEXT".to_owned()),
        ("secret = \"app\"", "secret = \"app\", client_password_auth_type = \"POSTGRES_CLEAR_TEXT\"", "DIR/forebay.toml:10: proxies[0].auth[0].client_password_auth_type = \"POSTGRES_CLEAR_TEXT\": is only spoken under TLS: the proxy needs tls = { certificate = …, private_key = … }".to_owned()),
        ("{ secret = \"app\" }", "", "DIR/forebay.toml:7: proxies[0].auth: missing: at least one { secret = \"…\" }".to_owned()),
        ("{ secret = \"app\" }", "{ secret = \"app\" }, { secret = \"app\" }", "DIR/forebay.toml:10: proxies[0].auth[1].secret = \"app\": is the second secret of user \"app\": one user has one secret in a proxy".to_owned()),
        (name, "name = \"orders\"\nrequire_tls = true", "DIR/forebay.toml:9: proxies[0].require_tls = true: needs tls = { certificate = …, private_key = … }".to_owned()),
        (name, "name = \"orders\"\nrequire_tls = \"yes\"", "DIR/forebay.toml:9: proxies[0].require_tls = \"yes\": must be true or false".to_owned()),
        (name, "name = \"orders\"\nidle_client_timeout = 0", format!("DIR/forebay.toml:9: proxies[0].idle_client_timeout = 0: must be 1s to 8h, {duration}")),
        (name, "name = \"orders\"\nidle_client_timeout = \"9h\"", format!("DIR/forebay.toml:9: proxies[0].idle_client_timeout = \"9h\": must be 1s to 8h, {duration}")),
        (name, "name = \"orders\"\nidle_client_timeout = -1", format!("DIR/forebay.toml:9: proxies[0].idle_client_timeout = -1: must be 1s to 8h, {duration}")),
        (name, "name = \"orders\"\nmax_clients = 1.5", "DIR/forebay.toml:9: proxies[0].max_clients = 1.5: must be 1 to 10000000, or 0 for no limit".to_owned()),
        (name, "name = \"orders\"\nmax_client = 5", "DIR/forebay.toml:9: proxies[0].max_client: no such key; known here: name, engine_family, auth, require_tls, idle_client_timeout, login_timeout, max_clients, connect_rate_max, tls, endpoints, target_group".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"localhost\"", "DIR/forebay.toml:12: proxies[0].endpoints[0].listen = \"localhost\": must be an IP address and port such as \"127.0.0.1:6432\" or \"[::]:6432\"".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"127.0.0.1:6432\"\ntarget_role = \"READ_ONLY\"", "DIR/forebay.toml:13: proxies[0].endpoints[0].target_role = \"READ_ONLY\": not yet supported: only \"READ_WRITE\" is".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"127.0.0.1:6432\"\n[[proxies.endpoints]]\nname = \"two\"\nlisten = \"127.0.0.1:6432\"", "DIR/forebay.toml:15: proxies[0].endpoints[1].listen = \"127.0.0.1:6432\": is taken by proxies[0].endpoints[0].listen = \"127.0.0.1:6432\": choose another port".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"127.0.0.1:6432\"\n[[proxies.endpoints]]\nname = \"two\"\nlisten = \"0.0.0.0:6432\"", "DIR/forebay.toml:15: proxies[0].endpoints[1].listen = \"0.0.0.0:6432\": is taken by proxies[0].endpoints[0].listen = \"127.0.0.1:6432\": choose another port".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"0.0.0.0:9432\"", "DIR/forebay.toml:12: proxies[0].endpoints[0].listen = \"0.0.0.0:9432\": is taken by server.metrics = \"127.0.0.1:9432\": choose another port".to_owned()),
        ("\n[[secrets]]", "[server]\nmetrics = \"127.0.0.1:6432\"\n[[secrets]]", "DIR/forebay.toml:13: proxies[0].endpoints[0].listen = \"127.0.0.1:6432\": is taken by server.metrics = \"127.0.0.1:6432\": choose another port".to_owned()),
        ("host = \"db.example.org\"", "host = \"localhost\"\nport = 6432", "DIR/forebay.toml:15: proxies[0].target_group.targets[0].host = \"localhost\": with port 6432 is where Forebay itself listens (proxies[0].endpoints[0].listen): name the database's own address and port".to_owned()),
        (group, &format!("{group}\nmax_connections = 4\nmin_connections = 5"), "DIR/forebay.toml:15: proxies[0].target_group.min_connections = 5: must be 0 to max_connections (4)".to_owned()),
        (group, &format!("{group}\nmax_connections = 4\npool_size_max = 3\nmin_connections = 5"), "DIR/forebay.toml:16: proxies[0].target_group.min_connections = 5: must be 0 to pool_size_max (3)".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"127.0.0.1:6432\"\n[[proxies.endpoints]]\nname = \"default\"\nlisten = \"127.0.0.1:6433\"", "DIR/forebay.toml:14: proxies[0].endpoints[1].name = \"default\": is used twice: every endpoint of a proxy needs a name of its own".to_owned()),
        ("listen = \"127.0.0.1:6432\"", "listen = \"127.0.0.1:6432\"\n[[proxies.endpoints]]\nlisten = \"127.0.0.1:6433\"", "DIR/forebay.toml:13: proxies[0].endpoints[1].name: missing: a name for the endpoint: only the first one has a default".to_owned()),
        (group, &format!("{group}\n{percents}"), "DIR/forebay.toml:15: proxies[0].target_group.max_idle_connections_percent = 80: must be 0 to max_connections_percent (60)".to_owned()),
        (group, &format!("{group}\nmax_connections_percent = 0"), "DIR/forebay.toml:14: proxies[0].target_group.max_connections_percent = 0: must be 1 to 100".to_owned()),
        (group, &format!("{group}\nconnection_borrow_timeout = 3601"), format!("DIR/forebay.toml:14: proxies[0].target_group.connection_borrow_timeout = 3601: must be 0s to 1h, {duration}")),
        (group, &format!("{group}\npool_size_max = 4\nmin_connections = 5"), "DIR/forebay.toml:15: proxies[0].target_group.min_connections = 5: must be 0 to pool_size_max (4)".to_owned()),
        (group, &format!("{group}\nsession_pinning_filters = [\"ALL\"]"), "DIR/forebay.toml:14: proxies[0].target_group.session_pinning_filters[0] = \"ALL\": no such filter: allowed are EXCLUDE_VARIABLE_SETS, EXCLUDE_PROCEDURE_CALLS, EXCLUDE_TEMPORARY_OBJECTS".to_owned()),
        (group, &format!("{group}\ncustom_settings = \"any\""), "DIR/forebay.toml:14: proxies[0].target_group.custom_settings = \"any\": must be strict or shared".to_owned()),
        (group, &format!("{group}\ntainting_functions = [\"app.set_global\"]"), "DIR/forebay.toml:14: proxies[0].target_group.tainting_functions[0] = \"app.set_global\": must be the name of a function without schema, arguments and quotes, of at most 63 bytes".to_owned()),
        ("\n[[secrets]]", "[server]\nsessions_audience = \"all\"\n[[secrets]]", "DIR/forebay.toml:2: server.sessions_audience = \"all\": must be off, loopback or any".to_owned()),
        (group, &format!("{group}\nlease_order = \"random\""), "DIR/forebay.toml:14: proxies[0].target_group.lease_order = \"random\": must be recent or rotate".to_owned()),
        (group, &format!("{group}\nqueue_max = 0"), "DIR/forebay.toml:14: proxies[0].target_group.queue_max = 0: must be 1 to 1000000".to_owned()),
        ("host = \"db.example.org\"", "host = \"db.example.org/orders\"", "DIR/forebay.toml:15: proxies[0].target_group.targets[0].host = \"db.example.org/orders\": must be a host name or an IP address, without a port".to_owned()),
        ("host = \"db.example.org\"", "host = \"db\"\nport = 0", "DIR/forebay.toml:16: proxies[0].target_group.targets[0].port = 0: must be 1 to 65535".to_owned()),
        ("host = \"db.example.org\"", "host = \"db\"\ntls = { mode = \"on\" }", "DIR/forebay.toml:16: proxies[0].target_group.targets[0].tls.mode = \"on\": must be disable, prefer, require, verify-ca or verify-full".to_owned()),
        ("host = \"db.example.org\"", "host = \"db\"\n[[proxies.target_group.targets]]\nhost = \"db2\"", "DIR/forebay.toml:16: proxies[0].target_group.targets[1]: not yet supported: a target group has one target".to_owned()),
        ("\n[[secrets]]", "[server]\nworkers = 0\n[[secrets]]", "DIR/forebay.toml:2: server.workers = 0: must be 1 to 512; leave it out for one per core".to_owned()),
        ("\n[[secrets]]", "[server]\ndriver = \"kqueue\"\n[[secrets]]", "DIR/forebay.toml:2: server.driver = \"kqueue\": must be auto, uring or epoll".to_owned()),
        ("\n[[secrets]]", "[server]\nmetrics = \"no\"\n[[secrets]]", "DIR/forebay.toml:2: server.metrics = \"no\": must be \"off\" or an IP address and port such as \"127.0.0.1:6432\" or \"[::]:6432\"".to_owned()),
        ("\n[[secrets]]", "server = 1\n[[secrets]]", "DIR/forebay.toml:1: server = 1: must be a table".to_owned()),
        ("\n[[secrets]]", "[servers]\n[[secrets]]", "DIR/forebay.toml:1: servers: no such key; known here: server, secrets, proxies".to_owned()),
        ("username = \"app\"\n", "", "DIR/forebay.toml:2: secrets[0].username: missing: the database user this secret is for".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "", "DIR/forebay.toml:2: secrets[0].password_file: missing: give one of password_file, file, password_env, password".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "password_env = \"NONE\"", "DIR/forebay.toml:5: secrets[0].password_env = \"NONE\": is not set in the environment (or not UTF-8)".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "password_env = \"APP_PASSWORD\"\npassword = \"x\"", "DIR/forebay.toml:2: secrets[0]: password, password_env are given at once: give one of password_file, file, password_env, password".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "password = \"x\"\nprevious_password = \"y\"\nprevious_file = \"z\"", "DIR/forebay.toml:2: secrets[0]: previous_password, previous_file are given at once: give one of previous_password_file, previous_file, previous_password_env, previous_password".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "password_file = \"nowhere\"", "DIR/forebay.toml:5: secrets[0].password_file: cannot read DIR/nowhere: No such file or directory (os error 2)".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "password = 12345", "DIR/forebay.toml:5: secrets[0].password: must be a string".to_owned()),
        ("password_env = \"APP_PASSWORD\"", "password = \"\"", "DIR/forebay.toml:5: secrets[0].password: the password is empty or holds a NUL character".to_owned()),
    ];
    for (old, new, line) in table {
        let errors = Directory::new().load(&with(old, new));
        assert_eq!(errors.err(), Some(vec![line]), "{new}");
    }
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_their_lines() {
    let text = with(
        "engine_family = \"POSTGRESQL\"",
        "engine_family = \"X\"\nmax_clients = \"many\"",
    )
    .replace("host = \"db.example.org\"", "port = \"no\"");
    let errors = Directory::new().load(&text).expect_err("four errors");
    let expected = [
        "DIR/forebay.toml:9: proxies[0].engine_family = \"X\": must be \"POSTGRESQL\" or \"MYSQL\" (in capitals)",
        "DIR/forebay.toml:10: proxies[0].max_clients = \"many\": must be 1 to 10000000, or 0 for no limit",
        "DIR/forebay.toml:15: proxies[0].target_group.targets[0].host: missing: the database's host name or address",
        "DIR/forebay.toml:16: proxies[0].target_group.targets[0].port = \"no\": must be 1 to 65535",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn two_proxies_or_secrets_of_one_name_are_refused() {
    let text = format!("{GOOD}{}", GOOD.replace("6432", "6433"));
    let errors = Directory::new()
        .load(&text)
        .expect_err("all names are there twice");
    let expected = [
        "DIR/forebay.toml:18: secrets[1].name = \"app\": is used twice: every secret needs a name of its own",
        "DIR/forebay.toml:23: proxies[1].name = \"orders\": is used twice: every proxy needs a name of its own",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn an_empty_file_lacks_its_proxies() {
    let errors = Directory::new().load("").expect_err("nothing is there");
    assert_eq!(
        errors,
        ["DIR/forebay.toml: proxies: missing: at least one [[proxies]]"]
    );
}

#[test]
fn a_file_that_is_not_toml_is_one_line_without_its_contents() {
    let errors = Directory::new()
        .load("[[secrets]]\npassword = \"hunter2\" oops\n")
        .expect_err("not TOML");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("DIR/forebay.toml:2: not TOML: "),
        "{errors:?}"
    );
    assert!(!errors[0].contains("hunter2"), "{errors:?}");
}

#[test]
fn a_file_that_is_not_there_is_one_line() {
    let directory = Directory::new();
    let path = directory.path().join("none.toml");
    let errors =
        forebay_control::config::load(&path, 1, &support::environment).expect_err("not there");
    let expected =
        "DIR/none.toml: cannot read DIR/none.toml: No such file or directory (os error 2)";
    assert_eq!(directory.line(&errors), expected);
}

#[test]
fn certificates_and_keys_that_do_not_fit_are_named() {
    let directory = Directory::new();
    directory.certificate("one");
    directory.certificate("two");
    directory.file("text.pem", "not PEM\n");
    directory.file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let table = [
        (
            "one.pem",
            "two.key",
            "the key in DIR/two.key does not belong to the certificate in DIR/one.pem",
        ),
        (
            "one.pem",
            "none.key",
            "cannot read DIR/none.key: No such file or directory (os error 2)",
        ),
        (
            "one.key",
            "one.key",
            "DIR/one.key holds no certificate in PEM",
        ),
        (
            "text.pem",
            "one.key",
            "DIR/text.pem holds no certificate in PEM",
        ),
        (
            "cut.pem",
            "one.key",
            "DIR/cut.pem is not whole: an END line is missing",
        ),
        (
            "one.pem",
            "one.pem",
            "DIR/one.pem holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)",
        ),
    ];
    for (certificate, key, fix) in table {
        let tls = format!(
            "name = \"orders\"\ntls = {{ certificate = \"{certificate}\", private_key = \"{key}\" }}"
        );
        let errors = directory
            .load(&with("name = \"orders\"", &tls))
            .expect_err(fix);
        assert_eq!(
            errors,
            [format!("DIR/forebay.toml:9: proxies[0].tls: {fix}")]
        );
    }
}

#[test]
fn no_error_shows_a_secret() {
    let directory = Directory::new();
    directory.file("app.json", "{\"username\": \"app\", \"password\": 271828}");
    directory.file(
        "bad.json",
        "{\"username\": \"app\", \"password\": \"hunter2\"",
    );
    directory.file("latin1", "x");
    let table = [
        "password = \"hunter2\\u0000\"",
        "file = \"app.json\"",
        "file = \"bad.json\"",
        "password = { hunter2 = \"hunter2\" }",
    ];
    for source in table {
        let text = with("password_env = \"APP_PASSWORD\"", source);
        let errors = directory.load(&text).expect_err(source).join("\n");
        assert!(
            !errors.contains("hunter2") && !errors.contains("271828"),
            "{errors}"
        );
    }
}

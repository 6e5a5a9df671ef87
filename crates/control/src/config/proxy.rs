//! The tables `[[proxies]]`: names, limits on clients, users, endpoints, by RDS's rules and defaults.

use super::reader::Table;
use super::secrets::Secret;
use super::sites::Sites;
use super::{proxy_defaults, target_group, tls};
use forebay_core::snapshot::{
    ClientAuth, Credential, Endpoint, EngineFamily, Proxy, ServerTls, TargetRole,
};
use secrecy::SecretString;
use std::sync::Arc;

const KEYS: &[&str] = &[
    "name",
    "engine_family",
    "auth",
    "require_tls",
    "idle_client_timeout",
    "login_timeout",
    "max_clients",
    "connect_rate_max",
    "tls",
    "endpoints",
    "target_group",
];

/// RDS: 200 secrets per proxy. Ours is only there to have a bound.
const CREDENTIALS_MAX: usize = 10_000;

/// Reads every proxy; names must be unique, and so must addresses, says `sites`.
pub(super) fn read_all(root: &Table<'_>, secrets: &[Secret], sites: &mut Sites) -> Vec<Arc<Proxy>> {
    let fix = "at least one [[proxies]]";
    let tables = root.tables_required("proxies", fix);
    let mut proxies: Vec<Arc<Proxy>> = Vec::new();
    for table in tables {
        let proxy = read(&table, secrets, sites);
        if let Some(field) = table.field("name")
            && proxies.iter().any(|known| known.name == proxy.name)
        {
            table.wrong(&field, "is used twice: every proxy needs a name of its own");
        }
        proxies.push(Arc::new(proxy));
    }
    warn_of_unused(root, secrets);
    proxies
}

fn read(table: &Table<'_>, secrets: &[Secret], sites: &mut Sites) -> Proxy {
    table.allow(KEYS);
    let name = table.name_required("name", "a name for the proxy, such as \"orders\"");
    let engine = engine_family(table);
    let name = Arc::from(name.unwrap_or_default());
    let tls = tls::read_server(table);
    let credentials = credentials(table, engine, secrets, tls.as_ref());
    let first_target = sites.targets();
    let target_group = target_group::read(table, engine, credentials.len(), sites);
    let limits = &target_group.limits;
    let percent = (limits.connections_max == u32::MAX).then_some(limits.connections_max_percent);
    sites.on_proxy(first_target, &name, percent);
    Proxy {
        name,
        engine,
        require_tls: require_tls(table),
        idle_client_timeout: table.duration(
            "idle_client_timeout",
            proxy_defaults::IDLE_CLIENT_TIMEOUT_RANGE,
            proxy_defaults::IDLE_CLIENT_TIMEOUT,
        ),
        clients_max: table.bound("max_clients", 10_000_000),
        connect_rate_max: table.bound("connect_rate_max", 10_000_000),
        login_timeout: table.duration(
            "login_timeout",
            proxy_defaults::LOGIN_TIMEOUT_RANGE,
            proxy_defaults::LOGIN_TIMEOUT,
        ),
        credentials,
        tls,
        endpoints: endpoints(table, sites),
        target_group,
    }
}

fn engine_family(table: &Table<'_>) -> EngineFamily {
    let fix = "\"POSTGRESQL\" or \"MYSQL\"";
    if let Some((text, field)) = table.text_required("engine_family", fix) {
        match text {
            "POSTGRESQL" => {}
            "MYSQL" => return EngineFamily::Mysql,
            "SQLSERVER" => table.wrong(
                &field,
                "not yet supported: only \"POSTGRESQL\" and \"MYSQL\" are",
            ),
            _ => table.wrong(&field, "must be \"POSTGRESQL\" or \"MYSQL\" (in capitals)"),
        }
    }
    EngineFamily::Postgres
}

fn require_tls(table: &Table<'_>) -> bool {
    let require = table.boolean("require_tls", false);
    if let Some(field) = table.field("require_tls")
        && require
        && table.field("tls").is_none()
    {
        table.wrong(&field, "needs tls = { certificate = …, private_key = … }");
    }
    require
}

/// `Auth`: which secrets may be used, and how clients prove that they know the password.
fn credentials(
    table: &Table<'_>,
    engine: EngineFamily,
    secrets: &[Secret],
    tls: Option<&Arc<ServerTls>>,
) -> Vec<Arc<Credential>> {
    let fix = "at least one { secret = \"…\" }";
    let tables = table.tables_required("auth", fix);
    if tables.len() > CREDENTIALS_MAX {
        table.report.error(
            &table.place,
            None,
            format!("auth has more than {CREDENTIALS_MAX} entries"),
        );
        return Vec::new();
    }
    let mut credentials: Vec<Arc<Credential>> = Vec::new();
    for table in tables {
        table.allow(&["secret", "client_password_auth_type"]);
        let client_auth = client_auth(&table, engine, tls.is_some());
        let Some((name, field)) = table.text_required("secret", "the name of one of [[secrets]]")
        else {
            continue;
        };
        let Some(secret) = secrets.iter().find(|secret| secret.name == name) else {
            table.wrong(&field, no_such_secret(secrets));
            continue;
        };
        secret.used.set(true);
        let username = &secret.username;
        if !username.is_empty() && credentials.iter().any(|known| known.username == *username) {
            table.wrong(
                &field,
                format!(
                    "is the second secret of user {username:?}: one user has one secret in a proxy"
                ),
            );
        }
        let version = |password: &SecretString, previous| {
            Arc::new(Credential {
                username: username.clone(),
                password: password.clone(),
                client_auth,
                previous,
            })
        };
        let previous = secret.previous.as_ref();
        let previous = previous.map(|password| version(password, None));
        credentials.push(version(&secret.password, previous));
    }
    credentials
}

fn client_auth(table: &Table<'_>, engine: EngineFamily, tls: bool) -> ClientAuth {
    const POSTGRES: [(&str, ClientAuth); 3] = [
        ("POSTGRES_SCRAM_SHA_256", ClientAuth::ScramSha256),
        ("POSTGRES_MD5", ClientAuth::Md5),
        ("POSTGRES_CLEAR_TEXT", ClientAuth::ClearText),
    ];
    const MYSQL: [(&str, ClientAuth); 5] = [
        ("MYSQL_CACHING_SHA2_PASSWORD", ClientAuth::CachingSha2),
        ("MYSQL_NATIVE_PASSWORD", ClientAuth::NativePassword),
        ("MYSQL_CLEAR_PASSWORD", ClientAuth::ClearText),
        ("MARIADB_ED25519", ClientAuth::Ed25519),
        ("MARIADB_PARSEC", ClientAuth::Parsec),
    ];
    let (words, default) = match engine {
        EngineFamily::Postgres => (&POSTGRES[..], ClientAuth::ScramSha256),
        EngineFamily::Mysql => (&MYSQL[..], ClientAuth::CachingSha2),
    };
    let auth = table.choice("client_password_auth_type", words, default);
    if let Some(field) = table.field("client_password_auth_type")
        && auth == ClientAuth::ClearText
        && !tls
    {
        table.wrong(
            &field,
            "is only spoken under TLS: the proxy needs tls = { certificate = …, private_key = … }",
        );
    }
    auth
}

fn no_such_secret(secrets: &[Secret]) -> String {
    if secrets.is_empty() {
        return "no such secret: there are no [[secrets]]".to_owned();
    }
    let names: Vec<&str> = secrets
        .iter()
        .take(10)
        .map(|secret| secret.name.as_str())
        .collect();
    format!("no such secret; there are: {}", names.join(", "))
}

fn endpoints(proxy: &Table<'_>, sites: &mut Sites) -> Vec<Endpoint> {
    let fix = "at least one [[proxies.endpoints]] with listen = \"127.0.0.1:6432\"";
    let tables = proxy.tables_required("endpoints", fix);
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for table in tables {
        let first = endpoints.is_empty();
        if let Some(endpoint) = endpoint(&table, first, sites) {
            if let Some(field) = table.field("name")
                && endpoints.iter().any(|known| known.name == endpoint.name)
            {
                table.wrong(
                    &field,
                    "is used twice: every endpoint of a proxy needs a name of its own",
                );
            }
            endpoints.push(endpoint);
        }
    }
    endpoints
}

/// The first endpoint of a proxy is called `default` unless it is told otherwise; the others need a name.
fn endpoint(table: &Table<'_>, first: bool, sites: &mut Sites) -> Option<Endpoint> {
    table.allow(&["name", "listen", "target_role"]);
    let name = if first && table.field("name").is_none() {
        Some("default".to_owned())
    } else {
        table.name_required(
            "name",
            "a name for the endpoint: only the first one has a default",
        )
    };
    let role = role(table);
    let listen = table.address(
        "listen",
        "where clients connect, such as \"127.0.0.1:6432\"",
    )?;
    if let Some(field) = table.field("listen") {
        sites.on_endpoint(table, &field, listen);
    }
    Some(Endpoint {
        name: Arc::from(name?),
        listen,
        role,
    })
}

/// RDS refuses READ_ONLY where there is nothing to read from but the writer; here that is always, so far.
fn role(table: &Table<'_>) -> TargetRole {
    if let Some((text, field)) = table.text("target_role") {
        match text {
            "READ_WRITE" => {}
            "READ_ONLY" => table.wrong(&field, "not yet supported: only \"READ_WRITE\" is"),
            _ => table.wrong(&field, "must be \"READ_WRITE\""),
        }
    }
    TargetRole::ReadWrite
}

fn warn_of_unused(root: &Table<'_>, secrets: &[Secret]) {
    for secret in secrets.iter().filter(|secret| !secret.used.get()) {
        let text = format!("secret {:?} is used by no proxy", secret.name);
        root.report.warning(&secret.place, text);
    }
}

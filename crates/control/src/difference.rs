//! What changed between two snapshots, in words for the log. Passwords and keys are compared, never shown.

use crate::config::values::shown;
use forebay_core::snapshot::{
    ClientAuth, Credential, Endpoint, PoolLimits, Proxy, ServerTls, SessionRules, Snapshot, Target,
    TargetTls, TlsMode,
};
use secrecy::ExposeSecret;
use std::fmt::Display;

/// One line for each change, such as `proxy orders: idle_client_timeout 30m, now 15m`; empty when nothing changed.
pub fn differences(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut changes = Changes(Vec::new());
    for proxy in &old.proxies {
        match new.proxies.iter().find(|other| other.name == proxy.name) {
            Some(other) => changes.proxy(proxy, other),
            None => changes.note(&proxy.name, "removed"),
        }
    }
    for proxy in &new.proxies {
        if !old.proxies.iter().any(|other| other.name == proxy.name) {
            changes.note(&proxy.name, "added");
        }
    }
    changes.0
}

struct Changes(Vec<String>);

fn previous_password(credential: &Credential) -> Option<&str> {
    let previous = credential.previous.as_ref()?;
    Some(previous.password.expose_secret())
}

impl Changes {
    fn note(&mut self, proxy: &str, what: impl Display) {
        self.0.push(format!("proxy {proxy}: {what}"));
    }

    fn value<T: PartialEq>(
        &mut self,
        proxy: &str,
        key: &str,
        (old, new): (T, T),
        show: impl Fn(T) -> String,
    ) {
        if old != new {
            let text = format!("{key} {}, now {}", show(old), show(new));
            self.note(proxy, text);
        }
    }

    fn proxy(&mut self, old: &Proxy, new: &Proxy) {
        let name = &*old.name;
        self.value(
            name,
            "require_tls",
            (old.require_tls, new.require_tls),
            |on| on.to_string(),
        );
        let idle = (old.idle_client_timeout, new.idle_client_timeout);
        self.value(name, "idle_client_timeout", idle, shown);
        self.value(
            name,
            "max_clients",
            (old.clients_max, new.clients_max),
            bound,
        );
        let rate = (old.connect_rate_max, new.connect_rate_max);
        self.value(name, "connect_rate_max", rate, bound);
        self.value(
            name,
            "login_timeout",
            (old.login_timeout, new.login_timeout),
            shown,
        );
        if !same_server_tls(old.tls.as_deref(), new.tls.as_deref()) {
            self.note(name, "tls: certificate, key or client_ca changed");
        }
        self.credentials(name, old, new);
        self.endpoints(name, &old.endpoints, &new.endpoints);
        self.limits(name, &old.target_group.limits, &new.target_group.limits);
        self.rules(name, &old.target_group.rules, &new.target_group.rules);
        self.targets(name, old, new);
    }

    fn credentials(&mut self, name: &str, old: &Proxy, new: &Proxy) {
        for credential in &old.credentials {
            match new.credential(&credential.username) {
                Some(other) => self.credential(name, credential, other),
                None => self.note(name, format!("user {} removed", credential.username)),
            }
        }
        for credential in &new.credentials {
            if old.credential(&credential.username).is_none() {
                self.note(name, format!("user {} added", credential.username));
            }
        }
    }

    fn credential(&mut self, name: &str, old: &Credential, new: &Credential) {
        let user = &old.username;
        if old.password.expose_secret() != new.password.expose_secret() {
            self.note(name, format!("user {user}: password changed"));
        }
        if previous_password(old) != previous_password(new) {
            self.note(name, format!("user {user}: previous password changed"));
        }
        let key = format!("user {user}: client_password_auth_type");
        self.value(name, &key, (old.client_auth, new.client_auth), |auth| {
            client_auth(auth).to_owned()
        });
    }

    fn endpoints(&mut self, name: &str, old: &[Endpoint], new: &[Endpoint]) {
        for endpoint in old {
            let Some(other) = new.iter().find(|other| other.name == endpoint.name) else {
                self.note(name, format!("endpoint {} removed", endpoint.name));
                continue;
            };
            let key = |what: &str| format!("endpoint {}: {what}", endpoint.name);
            let listen = (endpoint.listen, other.listen);
            self.value(name, &key("listen"), listen, |address| address.to_string());
            let role = (endpoint.role, other.role);
            self.value(name, &key("target_role"), role, |role| {
                role.as_str().to_owned()
            });
        }
        for endpoint in new {
            if !old.iter().any(|other| other.name == endpoint.name) {
                self.note(name, format!("endpoint {} added", endpoint.name));
            }
        }
    }

    fn limits(&mut self, name: &str, old: &PoolLimits, new: &PoolLimits) {
        let percents = [
            (
                "max_connections_percent",
                old.connections_max_percent,
                new.connections_max_percent,
            ),
            (
                "max_idle_connections_percent",
                old.idle_connections_max_percent,
                new.idle_connections_max_percent,
            ),
        ];
        for (key, old, new) in percents {
            self.value(name, key, (old, new), |percent| percent.to_string());
        }
        let bounds = [
            ("max_connections", old.connections_max, new.connections_max),
            ("pool_size_max", old.pool_size_max, new.pool_size_max),
            ("min_connections", old.pool_size_min, new.pool_size_min),
            ("queue_max", old.queue_max, new.queue_max),
            ("dial_concurrency_max", old.dials_max, new.dials_max),
        ];
        for (key, old, new) in bounds {
            self.value(name, key, (old, new), bound);
        }
        let durations = [
            (
                "connection_borrow_timeout",
                old.borrow_timeout,
                new.borrow_timeout,
            ),
            ("backend_idle_timeout", old.idle_timeout, new.idle_timeout),
            ("backend_lifetime_max", old.lifetime_max, new.lifetime_max),
        ];
        for (key, old, new) in durations {
            self.value(name, key, (old, new), shown);
        }
        if old.init_query != new.init_query {
            self.note(name, "init_query changed");
        }
        if old.lease_order != new.lease_order {
            self.note(name, "lease_order changed");
        }
    }

    /// Sessions keep the rules that they began with.
    fn rules(&mut self, name: &str, old: &SessionRules, new: &SessionRules) {
        let changed = [
            ("session_pinning_filters", old.unpinned != new.unpinned),
            (
                "custom_settings",
                old.custom_settings != new.custom_settings,
            ),
            (
                "tainting_functions",
                old.tainting_functions != new.tainting_functions,
            ),
        ];
        for (key, _) in changed.into_iter().filter(|(_, changed)| *changed) {
            self.note(
                name,
                format!("{key} changed, for clients that connect from now on"),
            );
        }
    }

    fn targets(&mut self, name: &str, old: &Proxy, new: &Proxy) {
        let (old, new) = (&old.target_group.targets, &new.target_group.targets);
        for target in old {
            match new.iter().find(|other| same_address(target, other)) {
                None => self.note(
                    name,
                    format!("target {}:{} removed", target.host, target.port),
                ),
                Some(other) if !same_target_tls(&target.tls, &other.tls) => {
                    let text = format!(
                        "target {}:{}: tls changed (mode {}, now {})",
                        target.host,
                        target.port,
                        mode(target.tls.mode),
                        mode(other.tls.mode)
                    );
                    self.note(name, text);
                }
                Some(_) => {}
            }
        }
        for target in new {
            if !old.iter().any(|other| same_address(target, other)) {
                self.note(
                    name,
                    format!("target {}:{} added", target.host, target.port),
                );
            }
        }
    }
}

fn bound(value: u32) -> String {
    match value {
        u32::MAX => "unlimited".to_owned(),
        value => value.to_string(),
    }
}

fn client_auth(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::ScramSha256 => "POSTGRES_SCRAM_SHA_256",
        ClientAuth::Md5 => "POSTGRES_MD5",
        ClientAuth::ClearText => "POSTGRES_CLEAR_TEXT",
        ClientAuth::NativePassword => "MYSQL_NATIVE_PASSWORD",
        ClientAuth::CachingSha2 => "MYSQL_CACHING_SHA2_PASSWORD",
        ClientAuth::Ed25519 => "MARIADB_ED25519",
        ClientAuth::Parsec => "MARIADB_PARSEC",
    }
}

fn mode(mode: TlsMode) -> &'static str {
    let words = crate::config::tls::MODES;
    let found = words.iter().find(|(_, other)| *other == mode);
    found.map_or("?", |(word, _)| word)
}

fn same_address(one: &Target, other: &Target) -> bool {
    one.host == other.host && one.port == other.port
}

fn same_target_tls(one: &TargetTls, other: &TargetTls) -> bool {
    let identity = |tls: &TargetTls| {
        let identity = tls.identity.as_ref()?;
        Some((identity.chain.clone(), identity.key.clone()))
    };
    one.mode == other.mode
        && one.authorities == other.authorities
        && identity(one) == identity(other)
}

fn same_server_tls(one: Option<&ServerTls>, other: Option<&ServerTls>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.identity.chain == other.identity.chain
                && one.identity.key == other.identity.key
                && one.client_authorities == other.client_authorities
        }
        _ => false,
    }
}

//! Stands in for the data plane until it exists: listens, and serves nobody.

use forebay_core::event::EventSink;
use forebay_core::metrics::Registry;
use forebay_core::snapshot::Snapshot;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// What the workers' event loops run on.
#[derive(Debug, Clone, Copy)]
pub enum DriverChoice {
    Auto,
    Uring,
    Epoll,
}

/// How the data plane is to run.
#[expect(dead_code, reason = "nothing reads them yet")]
pub struct Options {
    pub workers: usize,
    pub driver: DriverChoice,
    pub events: EventSink,
    pub metrics: Arc<Registry>,
}

/// An endpoint that is listened on.
pub struct EndpointAddress {
    pub proxy: Arc<str>,
    pub endpoint: Arc<str>,
    pub address: SocketAddr,
}

/// Why it could not start.
#[derive(Debug)]
pub struct StartError(String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

pub struct DataPlane {
    listeners: Vec<(Arc<str>, Arc<str>, TcpListener)>,
}

impl DataPlane {
    pub fn start(_options: Options, snapshot: Arc<Snapshot>) -> Result<DataPlane, StartError> {
        let mut listeners = Vec::new();
        for proxy in &snapshot.proxies {
            for endpoint in &proxy.endpoints {
                let listener = TcpListener::bind(endpoint.listen).map_err(|error| {
                    StartError(format!("cannot listen on {}: {error}", endpoint.listen))
                })?;
                listeners.push((
                    Arc::clone(&proxy.name),
                    Arc::clone(&endpoint.name),
                    listener,
                ));
            }
        }
        Ok(DataPlane { listeners })
    }

    pub fn endpoints(&self) -> Vec<EndpointAddress> {
        let address = |(proxy, endpoint, listener): &(Arc<str>, Arc<str>, TcpListener)| {
            Some(EndpointAddress {
                proxy: Arc::clone(proxy),
                endpoint: Arc::clone(endpoint),
                address: listener.local_addr().ok()?,
            })
        };
        self.listeners.iter().filter_map(address).collect()
    }

    pub fn driver(&self) -> (&'static str, &str) {
        ("none", "the data plane does not exist yet")
    }

    pub fn load(&self, _snapshot: Arc<Snapshot>) -> Result<(), StartError> {
        Ok(())
    }

    pub fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    pub fn drain(&self) {}

    pub fn clients(&self) -> usize {
        0
    }

    pub fn stop(self) {}
}

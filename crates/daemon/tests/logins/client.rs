//! The proxy, and clients that log in to it with SCRAM.

use crate::database::Database;
use crate::support::{Directory, Forebay, forebay};
use forebay_postgres::scram::{ClientBinding, ClientFirst, ClientKeys, ITERATIONS_MAX_DEFAULT};
use forebay_postgres::wire::read::ErrorFields;
use forebay_postgres::wire::startup::VERSION_3_2;
use forebay_postgres::wire::{HEADER_BYTES, header, write};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy in front of one database, for the user `app`.
pub struct Proxy {
    forebay: Forebay,
    address: String,
    metrics: String,
}

impl Proxy {
    pub fn in_front_of(database: &Database) -> Proxy {
        let url = format!(
            "postgres://app:hunter2@127.0.0.1:{}/x?sslmode=disable",
            database.port
        );
        Proxy::of(Forebay::start(&[
            "run",
            &url,
            "--listen",
            "0",
            "--metrics",
            "0",
            "--workers",
            "1",
            "--log-level",
            "debug",
        ]))
    }

    /// The same where the password was `hunter1` until now.
    pub fn with_two_passwords(database: &Database) -> Proxy {
        let directory = Directory::with_example();
        directory.replace(&format!(
            "[server]\nmetrics = \"127.0.0.1:0\"\nworkers = 1\n\
             [[secrets]]\nname = \"app\"\nusername = \"app\"\n\
             password = \"hunter2\"\nprevious_password = \"hunter1\"\n\
             [[proxies]]\nname = \"p\"\nengine_family = \"POSTGRESQL\"\nauth = [{{ secret = \"app\" }}]\n\
             [[proxies.endpoints]]\nlisten = \"127.0.0.1:0\"\n\
             [proxies.target_group]\ntargets = [{{ host = \"127.0.0.1\", port = {}, tls = {{ mode = \"disable\" }} }}]\n",
            database.port
        ));
        let arguments = ["serve", "--config", directory.config()];
        Proxy::of(Forebay::start(&arguments))
    }

    fn of(mut forebay: Forebay) -> Proxy {
        let listening = forebay.line("listening on ");
        let (address, _) = listening.split_once(' ').expect("more follows");
        let metrics = forebay.line("metrics on http://");
        let metrics = metrics.strip_suffix("/metrics").expect("the path");
        let port = address.rsplit(':').next().expect("a port");
        Proxy {
            address: format!("127.0.0.1:{port}"),
            metrics: metrics.to_owned(),
            forebay,
        }
    }

    /// A client that has sent its startup message.
    pub fn client(&self, parameters: &[(&str, &str)]) -> Client {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = Client {
            stream,
            held: Vec::new(),
            key: Vec::new(),
        };
        let all = [("user", "app")]
            .into_iter()
            .chain(parameters.iter().copied());
        client.say(|out| write::startup(out, VERSION_3_2, all));
        client
    }

    /// A client that needs a connection of its own, and a setting that any could be given.
    pub fn dedicated_client(&self) -> Client {
        self.client(&[("log_connections", "on"), ("DateStyle", "German")])
    }

    /// Asks to cancel what the client does; returns when that is done.
    pub fn cancel(&self, client: &Client) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let (process, secret) = client.key.split_first_chunk().expect("a key");
        let mut out = Vec::new();
        write::cancel_request(&mut out, u32::from_be_bytes(*process), secret);
        stream.write_all(&out).expect("it reads");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        assert_eq!(stream.read(&mut [0]).expect("it ends"), 0);
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> u64 {
        self.sum(&format!("forebay_{name}{{"), "")
    }

    /// What `forebay sessions` with these options prints about it.
    pub fn sessions(&self, options: &[&str]) -> String {
        let url = format!("http://{}", self.metrics);
        let arguments = [&["sessions", "--url", &url], options].concat();
        let output = forebay(&arguments);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        output.stdout
    }

    /// How many sessions were pinned for this reason.
    pub fn pins(&self, reason: &str) -> u64 {
        self.sum(
            "forebay_session_pins_total{",
            &format!("reason=\"{reason}\""),
        )
    }

    pub fn log_line(&mut self, text: &str) {
        self.forebay.log_line(text);
    }

    fn sum(&self, start: &str, label: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.metrics).expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("it answers");
        let lines = page
            .lines()
            .filter(|line| line.starts_with(start) && line.contains(label));
        let values: Vec<u64> = lines
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!values.is_empty(), "no {start} in\n{page}");
        values.iter().sum()
    }
}

/// One client.
pub struct Client {
    stream: TcpStream,
    held: Vec<u8>,
    /// The body of its BackendKeyData.
    pub key: Vec<u8>,
}

impl Client {
    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.stream.write_all(&out).expect("the proxy reads");
    }

    fn message(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(header) = header(&self.held).expect("a message")
                && header.len <= self.held.len()
            {
                let message: Vec<u8> = self.held.drain(..header.len).collect();
                return (header.kind, message[HEADER_BYTES..].to_vec());
            }
            let mut buffer = [0; 4096];
            let len = self.stream.read(&mut buffer).expect("the proxy answers");
            assert!(len > 0, "the proxy closed the connection");
            self.held.extend_from_slice(&buffer[..len]);
        }
    }

    /// Logs in; SQLSTATE and text of a refusal.
    pub fn log_in(&mut self) -> Result<(), (String, String)> {
        self.log_in_with("hunter2")
    }

    /// The same with this password.
    pub fn log_in_with(&mut self, password: &str) -> Result<(), (String, String)> {
        let first = ClientFirst::new(&[7; 18], ClientBinding::None);
        self.message();
        let text = first.message();
        self.say(|out| {
            write::message(out, b'p', |out| {
                write::string(out, first.mechanism().as_str().as_bytes());
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.extend_from_slice(&text);
            });
        });
        let (_, challenge) = self.message();
        let need = first
            .on_server_first(&challenge[4..], ITERATIONS_MAX_DEFAULT)
            .expect("a proper challenge");
        let keys = ClientKeys::derive(password, need.salt(), need.iterations());
        let (last, _) = need.with_keys(&keys);
        self.say(|out| write::message(out, b'p', |out| out.extend_from_slice(&last)));
        self.until_ready_or_refused()
    }

    fn until_ready_or_refused(&mut self) -> Result<(), (String, String)> {
        loop {
            match self.message() {
                (b'Z', _) => return Ok(()),
                (b'K', key) => self.key = key,
                (b'E', body) => {
                    let error = ErrorFields::read(&body);
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    return Err((text(error.code), text(error.message)));
                }
                _ => {}
            }
        }
    }

    pub fn until_ready(&mut self) {
        assert_eq!(self.until_ready_or_refused(), Ok(()));
    }

    pub fn query(&mut self, text: &str) {
        self.say(|out| write::query(out, text.as_bytes()));
    }

    pub fn say_goodbye(&mut self) {
        self.say(|out| out.extend_from_slice(write::TERMINATE));
    }
}

//! A conversation as it is written, for any family: who does what, and what everybody must see of it.

use crate::support::messages::{From, Line};

/// One line.
#[derive(Debug)]
pub enum Step {
    /// Messages that arrive in one piece.
    Send {
        who: From,
        index: usize,
        lines: Vec<Line>,
    },
    /// What has arrived at somebody's end since the last look.
    See { who: From, index: usize, line: Line },
    /// An order that was given since the last look.
    Order(String),
    /// The waiting client gets this backend.
    Lease { client: usize, backend: usize },
    /// The waiting client gets none.
    RefuseLease { client: usize, refusal: String },
    /// The backend is asked what the session holds, and tells: `name=value` is a setting, anything else a kind of object.
    Probe { backend: usize, held: Vec<String> },
    /// What the client's session asked for is heard from now on, or cannot be.
    Answer { client: usize, heard: bool },
    /// The client's session is told something.
    Tell { client: usize, line: Line },
    /// What the client asked to cancel was found, or not.
    Cancelled { client: usize, found: bool },
    /// What follows arrives in a piece of its own.
    Part,
    /// The client's connection ends.
    Vanish(usize),
    /// The backend's connection ends.
    Die(usize),
}

/// A file.
#[derive(Debug)]
pub struct Script {
    pub name: String,
    pub backends: usize,
    /// Startup settings of each client.
    pub clients: Vec<Vec<(String, String)>>,
    /// The first client wants a replication connection.
    pub dedicated: bool,
    /// The clients have not logged in.
    pub logins: bool,
    /// What is special about the proxy or the server, in the family's words.
    pub settings: Vec<String>,
    /// What is known to go wrong.
    pub failing: Option<String>,
    /// Steps with the numbers of their lines.
    pub steps: Vec<(usize, Step)>,
}

/// Offsets tried at most, spread evenly over a conversation that has more bytes.
const OFFSETS_MAX: usize = 600;
/// The same for conversations with long messages, whose bytes are mostly alike.
const OFFSETS_MAX_LONG: usize = 40;
/// The same for conversations with messages that do not fit one packet.
const OFFSETS_MAX_HUGE: usize = 2;
/// Bytes from which a conversation is long.
const LONG_BYTES: usize = 10_000;
/// Bytes from which one is huge.
const HUGE_BYTES: usize = 10_000_000;

impl Script {
    pub fn read(name: &str, text: &str) -> Script {
        let mut script = Script {
            name: name.to_owned(),
            backends: 1,
            clients: vec![Vec::new()],
            dedicated: false,
            logins: false,
            settings: Vec::new(),
            failing: None,
            steps: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                script.line(number + 1, line);
            }
        }
        script
    }

    fn line(&mut self, number: usize, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let step = match word {
            "backends" => return self.backends = rest.parse().unwrap(),
            "clients" => return self.clients.resize(rest.parse().unwrap(), Vec::new()),
            "dedicated" => return self.dedicated = true,
            "logins" => return self.logins = true,
            "with" => {
                let words = rest.split_whitespace().map(str::to_owned);
                return self.settings.extend(words);
            }
            "failing" => return self.failing = Some(rest.to_owned()),
            "baseline" => {
                let (client, setting) = rest.split_once(' ').unwrap();
                let (name, value) = setting.split_once('=').unwrap();
                let baseline = &mut self.clients[index(client, "client")];
                return baseline.push((name.to_owned(), value.to_owned()));
            }
            "order" => Step::Order(rest.to_owned()),
            "lease" => match rest.split_once(' ') {
                Some((client, backend)) => Step::Lease {
                    client: index(client, "client"),
                    backend: index(backend, "backend"),
                },
                None => Step::Lease {
                    client: 0,
                    backend: index(rest, "backend"),
                },
            },
            "refuse" => {
                let (client, refusal) = rest.split_once(' ').unwrap();
                let (client, refusal) = (index(client, "client"), refusal.to_owned());
                Step::RefuseLease { client, refusal }
            }
            "probe" => {
                let mut words = rest.split_whitespace();
                Step::Probe {
                    backend: index(words.next().unwrap(), "backend"),
                    held: words.map(str::to_owned).collect(),
                }
            }
            "subscribed" | "denied" => Step::Answer {
                client: index(rest, "client"),
                heard: word == "subscribed",
            },
            "tell" => {
                let (client, line) = rest.split_once(' ').unwrap();
                Step::Tell {
                    client: index(client, "client"),
                    line: Line::parse(line),
                }
            }
            "cancelled" | "unknown" => Step::Cancelled {
                client: index(rest, "client"),
                found: word == "cancelled",
            },
            "..." => Step::Part,
            "vanish" => Step::Vanish(index(rest, "client")),
            "die" => Step::Die(index(rest, "backend")),
            _ => return self.message(number, word, rest),
        };
        self.steps.push((number, step));
    }

    fn message(&mut self, number: usize, word: &str, rest: &str) {
        let (end, sends) = match word.split_at(word.len() - 1) {
            (end, ">") => (end, true),
            (end, "<") => (end, false),
            _ => panic!("{}:{number}: what is {word}?", self.name),
        };
        let (who, index) = if end.starts_with("client") {
            (From::Client, index(end, "client"))
        } else {
            (From::Backend, index(end, "backend"))
        };
        let line = Line::parse(rest);
        match self.steps.last_mut() {
            // Neighbours travel together.
            Some((
                _,
                Step::Send {
                    who: w,
                    index: i,
                    lines,
                },
            )) if sends && *w == who && *i == index => {
                lines.push(line);
            }
            _ if sends => {
                let lines = vec![line];
                self.steps.push((number, Step::Send { who, index, lines }));
            }
            _ => self.steps.push((number, Step::See { who, index, line })),
        }
    }

    /// Places between two bytes, counted over everything that is sent, also those at the ends of messages.
    pub fn offsets(&self) -> impl Iterator<Item = usize> + use<> {
        let sent = self.steps.iter().map(|(_, step)| match step {
            Step::Send { who, lines, .. } => lines.iter().map(|line| line.encode(*who).len()).sum(),
            _ => 0,
        });
        let bytes: usize = sent.sum();
        let max = match bytes {
            HUGE_BYTES.. => OFFSETS_MAX_HUGE,
            LONG_BYTES.. => OFFSETS_MAX_LONG,
            _ => OFFSETS_MAX,
        };
        (1..=bytes).step_by(bytes.div_ceil(max).max(1))
    }
}

/// `client2` is 1, `client` is 0.
fn index(end: &str, what: &str) -> usize {
    match end.strip_prefix(what) {
        Some("") => 0,
        Some(number) => number.parse::<usize>().unwrap() - 1,
        None => panic!("{end} is no {what}"),
    }
}

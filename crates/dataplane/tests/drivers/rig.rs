//! A driver with its clock and the events that were not looked at yet, turned by the test's own thread. Peers are plain blocking
//! sockets on loopback, where whatever was written has arrived when the write returns.

use forebay_core::Instant;
use forebay_dataplane::buffer::Slice;
use forebay_dataplane::clock::Clock;
use forebay_dataplane::driver::{Driver, Event, Handle, Token, epoll::Epoll};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How long a test waits for what must come. Only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps others of this process who ask for it from opening anything.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes drivers of one kind.
pub trait Kind {
    type Driver: Driver;

    /// Most system calls to wait for a message, receive it and send the answer to the one before.
    const CALLS_PER_MESSAGE: u64;

    fn make(clock: Clock) -> io::Result<Self::Driver>;

    /// Whether this kind works here; says why if it does not.
    fn works_here() -> bool {
        true
    }
}

pub struct EpollKind;

impl Kind for EpollKind {
    type Driver = Epoll;
    const CALLS_PER_MESSAGE: u64 = 3;

    fn make(clock: Clock) -> io::Result<Epoll> {
        Epoll::new(clock)
    }
}

/// The readiness driver as on systems without epoll.
pub struct PortableKind;

impl Kind for PortableKind {
    type Driver = Epoll;
    /// The end of a connection is not told: one more receive.
    const CALLS_PER_MESSAGE: u64 = 4;

    fn make(clock: Clock) -> io::Result<Epoll> {
        Epoll::portable(clock)
    }
}

#[cfg(target_os = "linux")]
pub struct UringKind;

#[cfg(target_os = "linux")]
impl Kind for UringKind {
    type Driver = forebay_dataplane::driver::uring::Uring;
    const CALLS_PER_MESSAGE: u64 = 1;

    fn make(clock: Clock) -> io::Result<Self::Driver> {
        Self::Driver::new(clock)
    }

    fn works_here() -> bool {
        let _alone = alone();
        match Self::make(Clock::new()) {
            Ok(_) => true,
            Err(error) => {
                println!("skipped: this kernel or its policy does not allow io_uring: {error}");
                false
            }
        }
    }
}

/// Runs each named case with each kind of driver.
#[macro_export]
macro_rules! with_each_driver {
    ($($case:ident),* $(,)?) => {
        #[cfg(target_os = "linux")]
        mod uring {
            use $crate::rig::Kind;
            $(#[test]
            fn $case() {
                if $crate::rig::UringKind::works_here() {
                    super::$case::<$crate::rig::UringKind>();
                }
            })*
        }
        mod epoll {
            $(#[test]
            fn $case() {
                super::$case::<$crate::rig::EpollKind>();
            })*
        }
        mod portable {
            $(#[test]
            fn $case() {
                super::$case::<$crate::rig::PortableKind>();
            })*
        }
    };
}

/// The token of the first listener.
pub const LISTENER: Token = 1000;

/// A driver and what it told.
pub struct Rig<K: Kind> {
    pub driver: K::Driver,
    pub clock: Clock,
    told: VecDeque<Event>,
}

impl<K: Kind> Rig<K> {
    pub fn new() -> Rig<K> {
        let clock = Clock::new();
        Rig {
            driver: K::make(clock).expect("the driver can be made"),
            clock,
            told: VecDeque::new(),
        }
    }

    /// Listens on a free port.
    pub fn listen(&mut self, token: Token) -> SocketAddr {
        let listener = free_listener();
        let address = listener.local_addr().unwrap();
        self.driver.listen(listener, token).unwrap();
        address
    }

    /// A connection with `token` whose other end is a plain socket. It is not received from. The peer's kernel keeps little for
    /// it, so that its window is soon full when it does not read.
    pub fn connected(&mut self, token: Token) -> (Handle, TcpStream) {
        let listener = free_listener();
        socket2::SockRef::from(&listener)
            .set_recv_buffer_size(256 * 1024)
            .unwrap();
        let handle = self
            .driver
            .connect(listener.local_addr().unwrap(), token)
            .unwrap();
        match self.next() {
            Event::Connected {
                token: connected,
                result: Ok(()),
            } if connected == token => {}
            other => panic!("not connected: {}", shown(&other)),
        }
        (handle, patient(listener.accept().unwrap().0))
    }

    /// A connection that the listener accepts; its token is set.
    pub fn accepted(&mut self, token: Token) -> Handle {
        match self.next() {
            Event::Accepted {
                listener: LISTENER,
                connection,
            } => {
                self.driver.set_token(connection, token);
                connection
            }
            other => panic!("not accepted: {}", shown(&other)),
        }
    }

    /// One turn that does not wait.
    pub fn turn(&mut self) {
        let mut events = Vec::new();
        self.driver.turn(Some(Instant::ZERO), &mut events).unwrap();
        self.told.extend(events);
    }

    /// The next event of those told so far.
    pub fn told(&mut self) -> Option<Event> {
        self.told.pop_front()
    }

    /// The next event; waits for it.
    pub fn next(&mut self) -> Event {
        let deadline = self.clock.now() + PATIENCE;
        loop {
            if let Some(event) = self.told.pop_front() {
                return event;
            }
            assert!(self.clock.now() < deadline, "nothing more is told");
            let mut events = Vec::new();
            self.driver.turn(Some(deadline), &mut events).unwrap();
            self.told.extend(events);
        }
    }

    /// The next event if there is one after everything that has happened so far was handled.
    pub fn quiet(&mut self) -> Option<Event> {
        for _ in 0..4 {
            self.turn();
        }
        self.told.pop_front()
    }

    /// Waits until `until` and asserts that nothing is told.
    pub fn wait_quietly(&mut self, until: Instant) {
        while self.clock.now() < until {
            let mut events = Vec::new();
            self.driver.turn(Some(until), &mut events).unwrap();
            if let Some(event) = events.first() {
                panic!("unexpected: {}", shown(event));
            }
        }
    }

    /// Asserts that there is nothing to tell.
    pub fn expect_quiet(&mut self) {
        if let Some(event) = self.quiet() {
            panic!("unexpected: {}", shown(&event));
        }
    }

    /// Receives `len` bytes of one connection, and nothing else.
    pub fn receive_exactly(&mut self, token: Token, len: usize) -> Vec<u8> {
        let mut received = Vec::with_capacity(len);
        while received.len() < len {
            received.extend_from_slice(&self.next_bytes(token));
        }
        assert_eq!(received.len(), len, "more came than was sent");
        received
    }

    /// The next bytes of one connection; nothing else may come first.
    pub fn next_bytes(&mut self, token: Token) -> Slice {
        match self.next() {
            Event::Received { token: from, bytes } if from == token => {
                assert!(!bytes.is_empty(), "received bytes are never empty");
                bytes
            }
            other => panic!("instead of bytes: {}", shown(&other)),
        }
    }

    /// Expects the end of one connection; its error, if there was one.
    pub fn expect_end(&mut self, token: Token) -> Option<io::Error> {
        match self.next() {
            Event::Ended { token: from, error } if from == token => error,
            other => panic!("instead of an end: {}", shown(&other)),
        }
    }

    /// Turns until `done`, which is shown each event.
    pub fn turn_until(&mut self, mut done: impl FnMut(&mut K::Driver, Event) -> bool) {
        loop {
            let event = self.next();
            if done(&mut self.driver, event) {
                return;
            }
        }
    }
}

/// An event in a line, its bytes by their number.
pub fn shown(event: &Event) -> String {
    match event {
        Event::Received { token, bytes } => format!("{} bytes of {token}", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// A peer whose reads and writes fail rather than hang.
pub fn patient(peer: TcpStream) -> TcpStream {
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer.set_nodelay(true).unwrap();
    peer
}

/// A plain connection to `address`.
pub fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

/// An address at which nobody listens, and nobody can while the socket lives.
pub fn nobody() -> (socket2::Socket, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A plain listener on a free port.
pub fn free_listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// A stream of bytes that shows when some are lost, doubled or exchanged.
#[derive(Debug, Default, Clone)]
pub struct Pattern {
    at: usize,
}

impl Pattern {
    /// No multiple of a buffer's size.
    const PERIOD: usize = 1_000_003;

    fn block() -> &'static [u8] {
        static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
        BLOCK.get_or_init(|| {
            let word = |at: u64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
            let bytes = (1..).flat_map(|at| word(at)[3..].to_vec());
            bytes.take(Pattern::PERIOD).collect()
        })
    }

    /// How many bytes have passed.
    pub fn passed(&self) -> usize {
        self.at
    }

    /// At most `max` bytes that come next.
    fn ahead(&self, max: usize) -> &'static [u8] {
        let begin = self.at % Pattern::PERIOD;
        let end = Pattern::PERIOD.min(begin + max);
        &Pattern::block()[begin..end]
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let part = self.ahead(len - bytes.len());
            bytes.extend_from_slice(part);
            self.at += part.len();
        }
        bytes
    }

    /// Asserts that `bytes` are what comes next.
    pub fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let part = self.ahead(bytes.len());
            let (these, rest) = bytes.split_at(part.len());
            assert!(these == part, "other bytes after {}", self.at);
            self.at += part.len();
            bytes = rest;
        }
    }
}

//! Sockets of the operating system, made the way a proxy wants them; shared by the real drivers.

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Connections the kernel may hold for us before they are accepted.
const BACKLOG: i32 = 4096;

/// An address in the form the kernel takes, at a place that does not move.
#[derive(Debug)]
pub struct Address(SockAddr);

impl Address {
    /// The kernel's form of `address`.
    pub fn new(address: &SocketAddr) -> Address {
        Address(SockAddr::from(*address))
    }

    /// Where it is.
    pub fn pointer(&self) -> *const libc::sockaddr {
        self.0.as_ptr().cast()
    }

    /// How long it is.
    pub fn len(&self) -> libc::socklen_t {
        self.0.len()
    }
}

/// A listener on `address`. Several workers may listen on one address; the kernel spreads connections over them.
/// Accepted sockets inherit its options: no delay, keepalive.
pub fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket from which to connect to `address`.
pub fn for_connecting(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(
        Domain::for_address(*address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    Ok(socket.into())
}

/// Tells the peer that no more bytes will come.
pub fn end_writing(fd: RawFd) {
    // SAFETY: a plain system call on the caller's descriptor. It fails only if the connection is gone already.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// The address at the other end.
pub fn peer_of(fd: RawFd) -> Option<SocketAddr> {
    // SAFETY: the caller's descriptor is open for the time of this call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    SockRef::from(&fd).peer_addr().ok()?.as_socket()
}

/// A peer that vanished without a word is noticed within about a minute and a half.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3)
}

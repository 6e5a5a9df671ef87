//! Drivers and the descriptors of the process: none is lost however connections end, and a process without any rests instead of
//! turning in circles.
//!
//! A test binary of its own, because these tests count and limit what all threads of a process share; they go one after the other.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a test's helper fails the test"
)]

#[path = "drivers/rig.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod rig;

use forebay_dataplane::buffer::Chunk;
use forebay_dataplane::driver::{Driver, Event};
use rig::{Kind, LISTENER, Rig, alone, free_listener, shown};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

with_each_driver!(
    thousands_of_connections_leave_no_descriptor,
    a_dropped_driver_leaves_no_descriptor,
    a_listener_without_descriptors_rests,
);

fn open_descriptors() -> usize {
    // The directory itself is open while it is read.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

fn thousands_of_connections_leave_no_descriptor<K: Kind>() {
    let _alone = alone();
    let mut rig = Rig::<K>::new();
    let address = rig.listen(LISTENER);
    let (_silent, nobody) = rig::nobody();
    one_of_each(&mut rig, address, nobody);
    let before = open_descriptors();
    for _ in 0..500 {
        one_of_each(&mut rig, address, nobody);
    }
    rig.expect_quiet();
    assert_eq!(open_descriptors(), before);
}

/// Connections that end in every way.
fn one_of_each<K: Kind>(rig: &mut Rig<K>, address: SocketAddr, nobody: SocketAddr) {
    // The peer ends first.
    let mut peer = rig::connect(address);
    let handle = rig.accepted(1);
    rig.driver.receive(handle, true);
    peer.write_all(b"hello").unwrap();
    rig.receive_exactly(1, 5);
    drop(peer);
    rig.expect_end(1);
    rig.driver.close(handle, true);

    // We end first, with something to say, to a peer that has more to say.
    let mut peer = rig::connect(address);
    let handle = rig.accepted(2);
    rig.driver.receive(handle, true);
    peer.write_all(b"hello").unwrap();
    rig.driver.send(handle, Chunk::owned(b"farewell".to_vec()));
    rig.driver.close(handle, true);
    rig.turn();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.expect_quiet();
    assert_eq!(peer.read(&mut [0; 100]).unwrap(), 8);

    // We end at once.
    let _peer = rig::connect(address);
    let handle = rig.accepted(3);
    rig.driver.receive(handle, true);
    rig.turn();
    rig.driver.close(handle, false);

    // Nobody ever listened, or nobody waits for the answer.
    let handle = rig.driver.connect(nobody, 4).unwrap();
    match rig.next() {
        Event::Connected {
            token: 4,
            result: Err(_),
        } => rig.driver.close(handle, false),
        other => panic!("unexpected: {}", shown(&other)),
    }
    let handle = rig.driver.connect(nobody, 5).unwrap();
    rig.driver.close(handle, true);

    // It moves to another driver and back.
    let (handle, _peer) = rig.connected(6);
    rig.driver.receive(handle, true);
    rig.turn();
    rig.driver.detach(handle);
    match rig.next() {
        Event::Detached { token: 6, socket } => {
            let handle = rig.driver.attach(socket, 6);
            rig.driver.close(handle, false);
        }
        other => panic!("unexpected: {}", shown(&other)),
    }
    rig.expect_quiet();
}

fn a_dropped_driver_leaves_no_descriptor<K: Kind>() {
    let _alone = alone();
    let before = open_descriptors();
    for turns in 0..4 {
        let mut rig = Rig::<K>::new();
        let address = rig.listen(LISTENER);
        let mut peers = Vec::new();
        for token in 0..8 {
            let (handle, peer) = rig.connected(token);
            rig.driver.receive(handle, token % 2 == 0);
            rig.driver.send_copy(handle, b"farewell");
            if token % 3 > 0 {
                rig.driver.close(handle, token % 3 == 1);
            }
            peers.push(peer);
        }
        // Some are accepted by the kernel only, some by the driver, some by nobody.
        let mut waiting: Vec<TcpStream> = (0..4).map(|_| rig::connect(address)).collect();
        let mut events = Vec::new();
        for _ in 0..turns {
            let now = rig.clock.now();
            rig.driver.turn(Some(now), &mut events).unwrap();
        }
        waiting.push(rig::connect(address));
        let refused_before = TcpStream::connect(address).map(drop);
        assert!(refused_before.is_ok());
        drop(rig);
        for peer in peers.iter_mut().chain(&mut waiting) {
            // Some have been told farewell; all see an end.
            let mut rest = Vec::new();
            if let Err(error) = peer.read_to_end(&mut rest) {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
        }
        let refused = TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(open_descriptors(), before);
}

/// All descriptors that this process may have, until dropped.
struct NoneLeft {
    before: libc::rlimit,
    taken: Vec<File>,
}

impl NoneLeft {
    fn take() -> NoneLeft {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: a plain system call that writes to a live structure.
        assert_eq!(
            unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) },
            0
        );
        let before = limit;
        // Descriptors are given from the lowest free number on, so these are the next ones.
        limit.rlim_cur = open_descriptors() as u64 + 50;
        NoneLeft::set(&limit);
        let mut taken = Vec::new();
        loop {
            match File::open("/dev/null") {
                Ok(file) => taken.push(file),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    return NoneLeft { before, taken };
                }
            }
        }
    }

    fn set(limit: &libc::rlimit) {
        // SAFETY: a plain system call that reads a live structure.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}

impl Drop for NoneLeft {
    fn drop(&mut self) {
        self.taken.clear();
        NoneLeft::set(&self.before);
    }
}

fn a_listener_without_descriptors_rests<K: Kind>() {
    const WAITING: usize = 5;
    let _alone = alone();
    let mut rig = Rig::<K>::new();
    let (busy, mut peer) = rig.connected(1);
    rig.driver.receive(busy, true);
    rig.turn();
    // The driver hears of the listener later: an accept that is under way in the kernel keeps the limit of its beginning.
    let listener = free_listener();
    let address = listener.local_addr().unwrap();
    let mut waiting: Vec<TcpStream> = (0..WAITING).map(|_| rig::connect(address)).collect();
    let none_left = NoneLeft::take();
    rig.driver.listen(listener, LISTENER).unwrap();
    let before = rig.driver.counters().system_calls;
    let began = rig.clock.now();
    rig.wait_quietly(began + Duration::from_millis(350));
    let calls = rig.driver.counters().system_calls - before;
    assert!(calls < 40, "{calls} system calls while resting");
    let failed = rig.driver.counters().accepts_failed;
    assert!((1..40).contains(&failed), "{failed} accepts failed");
    // Others are served meanwhile.
    peer.write_all(b"ping").unwrap();
    assert_eq!(rig.receive_exactly(1, 4), b"ping");
    drop(none_left);
    let mut accepted = 0;
    rig.turn_until(|driver, event| {
        match event {
            Event::Accepted { connection, .. } => {
                driver.send_copy(connection, b"welcome");
                accepted += 1;
            }
            other => panic!("unexpected: {}", shown(&other)),
        }
        accepted == WAITING
    });
    rig.expect_quiet();
    for peer in &mut waiting {
        let mut welcome = [0; 7];
        peer.read_exact(&mut welcome).unwrap();
    }
}

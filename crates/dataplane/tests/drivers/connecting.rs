//! Connections begin: accepted, made, refused.

use crate::rig::{self, Kind, LISTENER, Rig, free_listener, shown};
use crate::with_each_driver;
use forebay_dataplane::driver::{Driver, Event};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

with_each_driver!(
    an_accepted_connection_is_quiet_until_it_is_received_from,
    the_accepted_connection_knows_its_peer,
    connections_are_accepted_while_others_are_busy,
    a_closed_listener_accepts_nobody,
    listeners_come_and_go_without_being_mixed_up,
    a_refused_connection_is_told,
    an_unreachable_address_is_told_as_an_event,
    what_is_sent_before_the_connection_is_made_leaves_after_it,
    closing_while_connecting_is_silent,
    closing_after_sending_while_connecting_sends,
);

fn an_accepted_connection_is_quiet_until_it_is_received_from<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let address = rig.listen(LISTENER);
    let mut peer = rig::connect(address);
    peer.write_all(b"hello").unwrap();
    let handle = rig.accepted(3);
    rig.expect_quiet();
    rig.driver.receive(handle, true);
    assert_eq!(rig.receive_exactly(3, 5), b"hello");
}

fn the_accepted_connection_knows_its_peer<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let address = rig.listen(LISTENER);
    let peer = rig::connect(address);
    let handle = rig.accepted(3);
    assert_eq!(rig.driver.peer(handle), Some(peer.local_addr().unwrap()));
    rig.driver.close(handle, false);
    assert_eq!(rig.driver.peer(handle), None);
}

fn connections_are_accepted_while_others_are_busy<K: Kind>() {
    const BUSY: u64 = 8;
    const LATER: usize = 100;
    let mut rig = Rig::<K>::new();
    let address = rig.listen(LISTENER);
    let mut busy = Vec::new();
    for token in 0..BUSY {
        let peer = rig::connect(address);
        let handle = rig.accepted(token);
        rig.driver.receive(handle, true);
        busy.push((handle, peer));
    }
    for (_, peer) in &mut busy {
        peer.write_all(&[b'a'; 64]).unwrap();
    }
    let later: Vec<TcpStream> = (0..LATER).map(|_| rig::connect(address)).collect();
    let (mut accepted, mut echoed) = (0, 0);
    // The busy ones have a message under way all the time.
    while accepted < LATER || echoed < 1000 {
        match rig.next() {
            Event::Accepted { .. } => accepted += 1,
            Event::Received { token, bytes } => {
                let (handle, peer) = &mut busy[token as usize];
                rig.driver.send_copy(*handle, &bytes);
                echoed += 1;
                rig.turn();
                let mut back = vec![0; bytes.len()];
                peer.read_exact(&mut back).unwrap();
                peer.write_all(&back).unwrap();
            }
            other => panic!("unexpected: {}", shown(&other)),
        }
    }
    drop(later);
}

fn a_closed_listener_accepts_nobody<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let address = rig.listen(LISTENER);
    let _peer = rig::connect(address);
    rig.accepted(1);
    rig.driver.unlisten(LISTENER);
    rig.expect_quiet();
    let refused = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    rig.expect_quiet();
}

fn listeners_come_and_go_without_being_mixed_up<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for token in 1..50 {
        let address = rig.listen(token);
        let other = rig.listen(token + 1000);
        let _peers = [rig::connect(address), rig::connect(other)];
        let mut tokens = [0, 1].map(|_| match rig.next() {
            Event::Accepted { listener, .. } => listener,
            other => panic!("not accepted: {}", shown(&other)),
        });
        tokens.sort();
        assert_eq!(tokens, [token, token + 1000]);
        // One more waits when its listener goes.
        let _late = rig::connect(address);
        rig.driver.unlisten(token);
        rig.driver.unlisten(token + 1000);
        rig.expect_quiet();
    }
}

fn connect_result<K: Kind>(rig: &mut Rig<K>, token: u64) -> io::Result<()> {
    match rig.next() {
        Event::Connected {
            token: told,
            result,
        } if told == token => result,
        other => panic!("instead of a connection: {}", shown(&other)),
    }
}

fn a_refused_connection_is_told<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (_silent, address) = rig::nobody();
    let handle = rig.driver.connect(address, 9).unwrap();
    rig.driver.receive(handle, true);
    let error = connect_result(&mut rig, 9).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Nothing follows, whatever is asked of it.
    rig.driver.send_copy(handle, b"lost");
    rig.expect_quiet();
    assert_eq!(rig.driver.unsent(handle), 0);
    rig.driver.close(handle, true);
    rig.expect_quiet();
}

fn an_unreachable_address_is_told_as_an_event<K: Kind>() {
    let mut rig = Rig::<K>::new();
    // A broadcast address: the kernel refuses before anything is sent.
    let address = "255.255.255.255:9".parse().unwrap();
    let handle = rig.driver.connect(address, 9).unwrap();
    connect_result(&mut rig, 9).expect_err("TCP has no broadcast");
    rig.driver.close(handle, false);
    rig.expect_quiet();
}

fn what_is_sent_before_the_connection_is_made_leaves_after_it<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let listener = free_listener();
    let address = listener.local_addr().unwrap();
    let handle = rig.driver.connect(address, 4).unwrap();
    rig.driver.send_copy(handle, b"early");
    rig.driver.receive(handle, true);
    connect_result(&mut rig, 4).unwrap();
    let mut peer = rig::patient(listener.accept().unwrap().0);
    rig.turn();
    let mut early = [0; 5];
    peer.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
    peer.write_all(b"answer").unwrap();
    assert_eq!(rig.receive_exactly(4, 6), b"answer");
}

/// A listener whose queue is full: connecting to it does not end.
fn busy_listener() -> (socket2::Socket, Vec<TcpStream>) {
    let (listener, address) = rig::nobody();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(peer) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        waiting.push(peer);
    }
    (listener, waiting)
}

fn closing_while_connecting_is_silent<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (listener, _waiting) = busy_listener();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    for after_sending in [false, true] {
        let handle = rig.driver.connect(address, 4).unwrap();
        rig.driver.receive(handle, true);
        rig.expect_quiet();
        rig.driver.close(handle, after_sending);
        rig.expect_quiet();
    }
}

fn closing_after_sending_while_connecting_sends<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let listener = free_listener();
    let handle = rig
        .driver
        .connect(listener.local_addr().unwrap(), 4)
        .unwrap();
    rig.driver.send_copy(handle, b"all of it");
    rig.driver.close(handle, true);
    rig.expect_quiet();
    let mut peer = rig::patient(listener.accept().unwrap().0);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"all of it");
}

//! Connections move from one driver to another, of the same kind or not, and no byte is lost on the way.

use crate::rig::{EpollKind, Kind, Pattern, PortableKind, Rig, shown};
use crate::with_each_driver;
use forebay_dataplane::buffer::Chunk;
use forebay_dataplane::driver::{Driver, Event, Socket};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

with_each_driver!(
    a_connection_moves_while_its_peer_goes_on_sending,
    it_moves_between_unlike_drivers,
    what_is_unsent_leaves_before_the_connection_does,
    a_connection_leaves_though_others_linger,
    a_connection_that_leaves_and_is_closed_is_closed,
    a_connection_leaves_though_its_peer_has_ended,
);

fn a_connection_moves_while_its_peer_goes_on_sending<K: Kind>() {
    moves::<K, K>();
}

fn it_moves_between_unlike_drivers<K: Kind>() {
    moves::<K, EpollKind>();
    moves::<K, PortableKind>();
}

/// Lets go of the connection with token 1 and returns its socket; what is received on the way is checked.
fn leave<K: Kind>(rig: &mut Rig<K>, received: &mut Pattern) -> Socket {
    loop {
        match rig.next() {
            Event::Received { token: 1, bytes } => received.check(&bytes),
            Event::Detached { token: 1, socket } => return socket,
            other => panic!("unexpected: {}", shown(&other)),
        }
    }
}

fn moves<A: Kind, B: Kind>() {
    const MOVES: usize = 40;
    let (mut here, mut there) = (Rig::<A>::new(), Rig::<B>::new());
    let (mut handle, mut peer) = here.connected(1);
    let mut back = peer.try_clone().unwrap();
    let moved = Arc::new(AtomicBool::new(false));
    let enough = Arc::clone(&moved);
    let writer = thread::spawn(move || {
        let mut sent = Pattern::default();
        while !enough.load(Ordering::Relaxed) {
            peer.write_all(&sent.take(10_007)).unwrap();
        }
        sent.passed()
    });
    let (mut received, mut answers) = (Pattern::default(), Pattern::default());
    here.driver.receive(handle, true);
    for step in 0..MOVES {
        received.check(&here.next_bytes(1));
        here.driver.send(handle, Chunk::owned(answers.take(5000)));
        if step % 2 == 0 {
            here.driver.receive(handle, false);
        }
        here.driver.detach(handle);
        let socket = leave(&mut here, &mut received);
        handle = there.driver.attach(socket, 1);
        there.driver.receive(handle, true);
        received.check(&there.next_bytes(1));
        there.driver.send_copy(handle, &answers.take(300));
        there.driver.detach(handle);
        let socket = leave(&mut there, &mut received);
        handle = here.driver.attach(socket, 1);
        here.driver.receive(handle, true);
    }
    moved.store(true, Ordering::Relaxed);
    // The writer may be waiting for room.
    while !writer.is_finished() {
        here.turn();
    }
    let sent = writer.join().unwrap();
    while received.passed() < sent {
        received.check(&here.next_bytes(1));
    }
    let mut all = vec![0; answers.passed()];
    back.read_exact(&mut all).unwrap();
    Pattern::default().check(&all);
    drop(back);
    assert!(here.expect_end(1).is_none());
    here.expect_quiet();
    there.expect_quiet();
}

fn what_is_unsent_leaves_before_the_connection_does<K: Kind>() {
    const LEN: usize = 12 * 1024 * 1024;
    let (mut here, mut there) = (Rig::<K>::new(), Rig::<K>::new());
    let (handle, mut peer) = here.connected(1);
    let mut sent = Pattern::default();
    here.driver.send(handle, Chunk::owned(sent.take(LEN)));
    here.driver.detach(handle);
    here.expect_quiet();
    let reader = thread::spawn(move || {
        let mut all = vec![0; LEN + 5000];
        peer.read_exact(&mut all).map(|()| all)
    });
    let socket = leave(&mut here, &mut Pattern::default());
    let handle = there.driver.attach(socket, 1);
    there.driver.send_copy(handle, &sent.take(5000));
    there.expect_quiet();
    Pattern::default().check(&reader.join().unwrap().unwrap());
}

fn a_connection_leaves_though_others_linger<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let lingering: Vec<_> = (10..20).map(|token| rig.connected(token)).collect();
    for (handle, _) in &lingering {
        rig.driver.close(*handle, true);
    }
    for receiving in [false, true] {
        let (handle, _peer) = rig.connected(1);
        rig.driver.receive(handle, receiving);
        rig.turn();
        rig.driver.detach(handle);
        // Not only when those that linger are cut off.
        match rig.quiet() {
            Some(Event::Detached { token: 1, .. }) => {}
            other => panic!("instead of leaving: {:?}", other.as_ref().map(shown)),
        }
    }
}

fn a_connection_that_leaves_and_is_closed_is_closed<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for receiving in [false, true] {
        let (handle, mut peer) = rig.connected(1);
        rig.driver.receive(handle, receiving);
        rig.turn();
        rig.driver.detach(handle);
        rig.driver.close(handle, false);
        rig.expect_quiet();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    }
}

fn a_connection_leaves_though_its_peer_has_ended<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, peer) = rig.connected(1);
    rig.driver.receive(handle, true);
    drop(peer);
    assert!(rig.expect_end(1).is_none());
    rig.driver.detach(handle);
    match rig.next() {
        Event::Detached { token: 1, .. } => {}
        other => panic!("instead of leaving: {}", shown(&other)),
    }
    rig.expect_quiet();
}

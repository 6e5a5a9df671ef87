//! Connections end: by the peer, by us, in order or not. Nothing is heard of what was closed.

use crate::rig::{Kind, Pattern, Rig};
use crate::with_each_driver;
use forebay_dataplane::buffer::Chunk;
use forebay_dataplane::driver::{Driver, Handle};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

with_each_driver!(
    the_peer_s_end_follows_its_last_bytes,
    a_reset_is_told_as_an_error,
    a_peer_that_has_closed_its_side_still_receives,
    closing_after_sending_delivers_everything_and_then_the_end,
    closing_after_sending_delivers_to_a_peer_that_has_closed_its_side,
    the_last_bytes_survive_a_peer_that_goes_on_sending,
    the_last_bytes_survive_when_the_peer_was_not_received_from,
    closing_at_once_is_seen_by_the_peer,
    what_the_peer_said_last_comes_before_the_failure_to_send,
    a_peer_that_never_closes_is_cut_off,
    a_peer_that_takes_nothing_is_cut_off,
    a_closed_connection_is_not_heard_of,
    handles_of_closed_connections_are_inert,
);

fn the_peer_s_end_follows_its_last_bytes<K: Kind>() {
    let mut rig = Rig::<K>::new();
    // The end comes with the bytes, after them, and with many of them.
    for len in [1, 100, 16 * 1024, 100_000] {
        for turns_between in [0, 1, 2] {
            let (handle, mut peer) = rig.connected(6);
            rig.driver.receive(handle, true);
            let (mut sent, mut received) = (Pattern::default(), Pattern::default());
            peer.write_all(&sent.take(len)).unwrap();
            for _ in 0..turns_between {
                rig.turn();
            }
            drop(peer);
            received.check(&rig.receive_exactly(6, len));
            assert!(rig.expect_end(6).is_none());
            rig.expect_quiet();
            rig.driver.close(handle, false);
        }
    }
}

/// Ends a connection without a farewell.
fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

fn a_reset_is_told_as_an_error<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for turns_between in [0, 2] {
        let (handle, peer) = rig.connected(6);
        rig.driver.receive(handle, true);
        for _ in 0..turns_between {
            rig.turn();
        }
        reset(peer);
        let error = rig.expect_end(6).expect("a reset is an error");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        rig.driver.send_copy(handle, b"lost");
        rig.expect_quiet();
        assert_eq!(rig.driver.unsent(handle), 0);
        rig.driver.close(handle, true);
        rig.expect_quiet();
    }
}

fn a_peer_that_has_closed_its_side_still_receives<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(6);
    rig.driver.receive(handle, true);
    peer.write_all(b"last question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.receive_exactly(6, 13);
    assert!(rig.expect_end(6).is_none());
    rig.driver.send_copy(handle, b"answer");
    rig.expect_quiet();
    let mut answer = [0; 6];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
}

/// More than the kernel takes at once.
const MUCH: usize = 12 * 1024 * 1024;

/// Reads all there is in a thread while the driver turns.
fn read_all<K: Kind>(rig: &mut Rig<K>, mut peer: TcpStream) -> Vec<u8> {
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    while !reader.is_finished() {
        rig.turn();
    }
    reader.join().unwrap().expect("no reset")
}

fn closing_after_sending_delivers_everything_and_then_the_end<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for len in [0, 1, 5000, MUCH] {
        for receiving in [false, true] {
            let (handle, peer) = rig.connected(6);
            rig.driver.receive(handle, receiving);
            rig.turn();
            let mut sent = Pattern::default();
            rig.driver.send(handle, Chunk::owned(sent.take(len)));
            rig.driver.close(handle, true);
            let all = read_all(&mut rig, peer);
            assert_eq!(all.len(), len);
            Pattern::default().check(&all);
            rig.expect_quiet();
        }
    }
}

fn closing_after_sending_delivers_to_a_peer_that_has_closed_its_side<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, peer) = rig.connected(6);
    rig.driver.receive(handle, true);
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(rig.expect_end(6).is_none());
    rig.driver
        .send(handle, Chunk::owned(Pattern::default().take(MUCH)));
    rig.driver.close(handle, true);
    let all = read_all(&mut rig, peer);
    assert_eq!(all.len(), MUCH);
    Pattern::default().check(&all);
}

fn the_last_bytes_survive_a_peer_that_goes_on_sending<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for receiving in [false, true] {
        let (handle, mut peer) = rig.connected(6);
        rig.driver.receive(handle, receiving);
        peer.write_all(&[0; 50_000]).unwrap();
        rig.turn();
        while rig.told().is_some() {}
        rig.driver.send_copy(handle, b"farewell");
        rig.driver.close(handle, true);
        rig.turn();
        // Closing a socket with unread bytes would be a reset, which overtakes the farewell.
        peer.write_all(&[0; 50_000]).unwrap();
        rig.expect_quiet();
        peer.write_all(&[0; 50_000]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut rig, peer), b"farewell");
    }
}

fn the_last_bytes_survive_when_the_peer_was_not_received_from<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(6);
    rig.driver.receive(handle, true);
    rig.turn();
    // Still being switched off when the connection is closed.
    rig.driver.receive(handle, false);
    rig.driver.send_copy(handle, b"farewell");
    rig.driver.close(handle, true);
    rig.expect_quiet();
    peer.write_all(&[0; 50_000]).unwrap();
    rig.expect_quiet();
    peer.write_all(&[0; 50_000]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut rig, peer), b"farewell");
}

fn closing_at_once_is_seen_by_the_peer<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for receiving in [false, true] {
        let (handle, mut peer) = rig.connected(6);
        rig.driver.receive(handle, receiving);
        rig.turn();
        rig.driver.close(handle, false);
        rig.expect_quiet();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    }
    // Much is unsent, and the kernel waits for room.
    let (handle, mut peer) = rig.connected(6);
    rig.driver.send(handle, Chunk::owned(vec![0; MUCH]));
    rig.expect_quiet();
    rig.driver.close(handle, false);
    rig.expect_quiet();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert!(got.len() < MUCH);
}

fn what_the_peer_said_last_comes_before_the_failure_to_send<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for receiving_before in [false, true] {
        let (handle, mut peer) = rig.connected(6);
        rig.driver.receive(handle, receiving_before);
        rig.turn();
        rig.driver.send_copy(handle, b"question");
        rig.turn();
        // What a server does that shuts down: says why, and resets, for it has not read the question.
        peer.write_all(b"reason").unwrap();
        drop(peer);
        rig.driver.send_copy(handle, b"another question");
        rig.driver.receive(handle, true);
        assert_eq!(rig.receive_exactly(6, 6), b"reason");
        rig.expect_end(6);
        rig.expect_quiet();
        rig.driver.close(handle, false);
    }
}

fn a_peer_that_never_closes_is_cut_off<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(6);
    rig.driver.close(handle, true);
    let began = rig.clock.now();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    // Writing fails as soon as the other end is gone.
    while peer.write_all(b"still here").is_ok() {
        rig.expect_quiet();
        assert!(rig.clock.now().since(began) < Duration::from_secs(20));
    }
    assert!(rig.clock.now().since(began) > Duration::from_secs(2));
}

fn a_peer_that_takes_nothing_is_cut_off<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(6);
    rig.driver.send(handle, Chunk::owned(vec![0; MUCH]));
    rig.driver.close(handle, true);
    let began = rig.clock.now();
    while rig.clock.now().since(began) < Duration::from_secs(4) {
        let until = rig.clock.now() + Duration::from_secs(1);
        rig.wait_quietly(until);
    }
    let mut got = 0;
    let mut bytes = vec![0; 1 << 20];
    // The end or an error; not all of it in any case.
    while let Ok(len @ 1..) = peer.read(&mut bytes) {
        got += len;
    }
    assert!(got < MUCH);
}

fn a_closed_connection_is_not_heard_of<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for after_sending in [false, true] {
        for round in 0..20 {
            let (handle, mut peer) = rig.connected(6);
            rig.driver.receive(handle, true);
            if round % 2 == 0 {
                rig.turn();
            }
            rig.driver
                .send(handle, Chunk::owned(vec![0; round * 10_000]));
            peer.write_all(b"into the void").unwrap();
            rig.driver.close(handle, after_sending);
            if round % 3 == 0 {
                reset(peer);
            }
            rig.expect_quiet();
        }
    }
}

fn handles_of_closed_connections_are_inert<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let poke = |driver: &mut K::Driver, handle: Handle| {
        driver.set_token(handle, 99);
        driver.receive(handle, true);
        driver.receive(handle, false);
        driver.send_copy(handle, b"wrong");
        driver.send(handle, Chunk::owned(vec![0; 100_000]));
        driver.detach(handle);
        driver.close(handle, true);
        driver.close(handle, false);
        assert_eq!(driver.unsent(handle), 0);
    };
    let (gone, peer) = rig.connected(6);
    rig.driver.close(gone, false);
    poke(&mut rig.driver, gone);
    rig.expect_quiet();
    drop(peer);
    // Its place is taken by others; some of them linger.
    for _ in 0..10 {
        let (handle, mut peer) = rig.connected(7);
        rig.driver.receive(handle, true);
        poke(&mut rig.driver, gone);
        rig.driver.send_copy(handle, b"right");
        peer.write_all(b"right").unwrap();
        assert_eq!(rig.receive_exactly(7, 5), b"right");
        rig.driver.close(handle, true);
        poke(&mut rig.driver, handle);
        rig.expect_quiet();
        poke(&mut rig.driver, handle);
        rig.expect_quiet();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"right");
    }
}

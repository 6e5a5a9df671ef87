//! Bytes arrive whole and in order, from many connections at once.

use crate::rig::{self, Kind, LISTENER, Pattern, Rig, shown};
use crate::with_each_driver;
use forebay_dataplane::buffer::Chunk;
use forebay_dataplane::driver::{Driver, Event};
use std::io::{Read, Write};
use std::thread;

with_each_driver!(
    small_messages_are_echoed,
    pieces_of_all_sizes_leave_in_order,
    two_hundred_connections_play_ping_pong,
    a_message_larger_than_all_buffers_is_echoed,
    a_flood_does_not_starve_others,
);

fn small_messages_are_echoed<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(7);
    rig.driver.receive(handle, true);
    for round in 0..100u8 {
        peer.write_all(&[round; 100]).unwrap();
        let bytes = rig.next_bytes(7);
        rig.driver.send(handle, Chunk::Received(bytes.part(0, 60)));
        rig.driver.send_copy(handle, &bytes[60..]);
        rig.turn();
        let mut back = [0; 100];
        peer.read_exact(&mut back).unwrap();
        assert_eq!(back, [round; 100]);
    }
}

fn pieces_of_all_sizes_leave_in_order<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(7);
    let (mut sent, mut received) = (Pattern::default(), Pattern::default());
    for round in 0..40 {
        // More pieces than one vectored send takes, small ones among them.
        for piece in 0..round {
            let len = [1, 3000, 5000, 0, 9000][(piece + round) % 5];
            if piece % 3 == 0 {
                rig.driver.send_copy(handle, &sent.take(len));
            } else {
                rig.driver.send(handle, Chunk::owned(sent.take(len)));
            }
        }
        let mut bytes = vec![0; sent.passed() - received.passed()];
        let reader = thread::spawn(move || peer.read_exact(&mut bytes).map(|()| (peer, bytes)));
        while rig.driver.unsent(handle) > 0 {
            rig.turn();
        }
        let (returned, bytes) = reader.join().unwrap().unwrap();
        received.check(&bytes);
        peer = returned;
    }
}

fn two_hundred_connections_play_ping_pong<K: Kind>() {
    const PLAYERS: u64 = 200;
    const ROUNDS: usize = 50;
    let mut rig = Rig::<K>::new();
    let address = rig.listen(LISTENER);
    let players = thread::spawn(move || {
        let mut peers: Vec<_> = (0..PLAYERS).map(|_| rig::connect(address)).collect();
        for round in 0..ROUNDS {
            for (number, peer) in peers.iter_mut().enumerate() {
                writeln!(peer, "{number:5} {round:5}").unwrap();
            }
            for (number, peer) in peers.iter_mut().enumerate() {
                let mut back = [0; 12];
                peer.read_exact(&mut back).unwrap();
                assert_eq!(back, format!("{number:5} {round:5}\n").as_bytes());
            }
        }
    });
    let mut handles = Vec::new();
    let mut ended = 0;
    while ended < PLAYERS {
        match rig.next() {
            Event::Accepted { connection, .. } => {
                rig.driver.set_token(connection, handles.len() as u64);
                rig.driver.receive(connection, true);
                handles.push(connection);
            }
            Event::Received { token, bytes } => {
                let handle = handles[token as usize];
                rig.driver.send(handle, Chunk::Received(bytes));
            }
            Event::Ended { token, error: None } => {
                rig.driver.close(handles[token as usize], false);
                ended += 1;
            }
            other => panic!("unexpected: {}", shown(&other)),
        }
    }
    players.join().unwrap();
}

fn a_message_larger_than_all_buffers_is_echoed<K: Kind>() {
    const LEN: usize = 20 * 1024 * 1024;
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(7);
    rig.driver.receive(handle, true);
    // Nobody reads before all was written: what waits here holds no buffers of the pool.
    let peer = thread::spawn(move || {
        let (mut sent, mut received) = (Pattern::default(), Pattern::default());
        peer.write_all(&sent.take(LEN)).unwrap();
        let mut back = vec![0; LEN];
        peer.read_exact(&mut back).unwrap();
        received.check(&back);
    });
    let mut passed = 0;
    loop {
        match rig.next() {
            Event::Received { token: 7, bytes } => {
                passed += bytes.len();
                rig.driver.send(handle, Chunk::Received(bytes));
            }
            Event::Relaxed { token: 7 } => {}
            Event::Ended {
                token: 7,
                error: None,
            } => break,
            other => panic!("unexpected: {}", shown(&other)),
        }
    }
    assert_eq!(passed, LEN);
    peer.join().unwrap();
}

fn a_flood_does_not_starve_others<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (flooded, mut flood) = rig.connected(1);
    let (calm, mut peer) = rig.connected(2);
    rig.driver.receive(flooded, true);
    rig.driver.receive(calm, true);
    let flood = thread::spawn(move || {
        let bytes = vec![0; 1 << 20];
        // Until the other end is closed.
        while flood.write_all(&bytes).is_ok() {}
    });
    for round in 0..100u8 {
        peer.write_all(&[round]).unwrap();
        let mut taken = 0;
        rig.turn_until(|_, event| match event {
            Event::Received { token: 2, bytes } => {
                assert_eq!(*bytes, [round]);
                true
            }
            Event::Received { token: 1, bytes } => {
                taken += bytes.len();
                assert!(taken < 16 << 20, "the flood goes first");
                false
            }
            other => panic!("unexpected: {}", shown(&other)),
        });
    }
    rig.driver.close(flooded, false);
    rig.turn();
    // The rest of the flood is answered with a reset.
    drop(rig);
    flood.join().unwrap();
}

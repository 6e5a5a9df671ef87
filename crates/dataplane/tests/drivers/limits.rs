//! What is bounded: buffers, and the cost of a message.

use crate::rig::{Kind, Pattern, Rig, shown};
use crate::with_each_driver;
use forebay_dataplane::buffer::{Chunk, Slice};
use forebay_dataplane::driver::{Driver, Event};
use std::io::{Read, Write};
use std::thread;

with_each_driver!(
    receiving_goes_on_when_buffers_come_back,
    closing_works_without_buffers,
    a_message_costs_few_system_calls,
);

/// Holds every buffer of a driver: what connection 1 received, not yet checked.
fn hold_all<K: Kind>(
    rig: &mut Rig<K>,
    peer: &mut std::net::TcpStream,
    sent: &mut Pattern,
) -> Vec<Slice> {
    let mut held = Vec::new();
    let before = rig.driver.counters().buffers_exhausted;
    while rig.driver.counters().buffers_exhausted == before {
        peer.write_all(&sent.take(1000)).unwrap();
        rig.turn();
        while let Some(event) = rig.told() {
            match event {
                Event::Received { token: 1, bytes } => held.push(bytes),
                other => panic!("unexpected: {}", shown(&other)),
            }
        }
        assert!(held.len() <= 4096, "there are not that many buffers");
    }
    held
}

fn receiving_goes_on_when_buffers_come_back<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(1);
    let (second, mut other) = rig.connected(2);
    rig.driver.receive(handle, true);
    let (mut sent, mut received) = (Pattern::default(), Pattern::default());
    for _ in 0..3 {
        let held = hold_all(&mut rig, &mut peer, &mut sent);
        rig.driver.receive(second, true);
        other.write_all(b"me too").unwrap();
        rig.expect_quiet();
        // Sending needs none.
        rig.driver.send_copy(handle, b"fine");
        rig.turn();
        peer.read_exact(&mut [0; 4]).unwrap();
        for bytes in held {
            received.check(&bytes);
        }
        let mut second_came = false;
        rig.turn_until(|_, event| {
            match event {
                Event::Received { token: 1, bytes } => received.check(&bytes),
                Event::Received { token: 2, bytes } => {
                    assert_eq!(&*bytes, b"me too");
                    second_came = true;
                }
                other => panic!("unexpected: {}", shown(&other)),
            }
            second_came && received.passed() == sent.passed()
        });
        rig.driver.receive(second, false);
        rig.turn();
    }
}

fn closing_works_without_buffers<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(1);
    let (second, mut other) = rig.connected(2);
    rig.driver.receive(handle, true);
    let held = hold_all(&mut rig, &mut peer, &mut Pattern::default());
    rig.driver.receive(second, true);
    other.write_all(b"question").unwrap();
    rig.expect_quiet();
    rig.driver.send_copy(second, b"farewell");
    rig.driver.close(second, true);
    rig.expect_quiet();
    drop(held);
    rig.turn();
    while rig.told().is_some() {}
    let mut all = Vec::new();
    other.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"farewell");
}

fn a_message_costs_few_system_calls<K: Kind>() {
    const MESSAGES: u64 = 500;
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(1);
    rig.driver.receive(handle, true);
    rig.turn();
    let before = rig.driver.counters().system_calls;
    let peer = thread::spawn(move || {
        for _ in 0..MESSAGES {
            peer.write_all(b"ping").unwrap();
            peer.read_exact(&mut [0; 4]).unwrap();
        }
    });
    for _ in 0..MESSAGES {
        let bytes = rig.next_bytes(1);
        // The answer leaves with the turn that waits for the next message.
        rig.driver.send(handle, Chunk::Received(bytes));
    }
    let calls = rig.driver.counters().system_calls - before;
    while rig.driver.unsent(handle) > 0 {
        rig.turn();
    }
    peer.join().unwrap();
    // Half a call more for waits that are interrupted.
    assert!(
        2 * calls <= (2 * K::CALLS_PER_MESSAGE + 1) * MESSAGES,
        "{calls} system calls for {MESSAGES} messages"
    );
}

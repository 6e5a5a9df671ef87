//! Slow readers: what waits for them is bounded, and nothing is lost when they catch up.

use crate::rig::{Kind, Pattern, Rig, shown};
use crate::with_each_driver;
use forebay_dataplane::buffer::Chunk;
use forebay_dataplane::driver::{Driver, Event, UNSENT_HIGH};
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

with_each_driver!(
    a_large_transfer_waits_for_its_slow_reader,
    bytes_wait_while_they_are_not_received,
    receiving_can_be_switched_at_any_moment,
    relaxed_comes_once_for_each_time_of_tension,
    nothing_is_told_of_relaxing_below_the_bound,
);

fn a_large_transfer_waits_for_its_slow_reader<K: Kind>() {
    const LEN: usize = 200 * 1024 * 1024;
    const PAUSES: usize = 10;
    let mut rig = Rig::<K>::new();
    let (source, mut from) = rig.connected(1);
    let (sink, mut to) = rig.connected(2);
    rig.driver.receive(source, true);
    let tense = Arc::new((Mutex::new(false), Condvar::new()));
    let waits_for_tension = Arc::clone(&tense);
    let set_tense = |tells: bool| {
        *tense.0.lock().unwrap() = tells;
        tense.1.notify_all();
    };
    let writer = thread::spawn(move || {
        let mut sent = Pattern::default();
        while sent.passed() < LEN {
            from.write_all(&sent.take(100_000.min(LEN - sent.passed())))
                .unwrap();
        }
    });
    let reader = thread::spawn(move || {
        let mut received = Pattern::default();
        let mut bytes = vec![0; 300_000];
        for pause in 1..=PAUSES {
            // Reads nothing until the driver is full of what it cannot send.
            let (tense, changed) = &*waits_for_tension;
            drop(
                changed
                    .wait_while(tense.lock().unwrap(), |tense| !*tense)
                    .unwrap(),
            );
            while received.passed() < LEN / PAUSES * pause {
                let len = to.read(&mut bytes).unwrap();
                received.check(&bytes[..len]);
            }
        }
        loop {
            match to.read(&mut bytes).unwrap() {
                0 => break,
                len => received.check(&bytes[..len]),
            }
        }
        assert_eq!(received.passed(), LEN);
    });
    let (mut most, mut relaxed, mut throttled) = (0, 0, false);
    rig.turn_until(|driver, event| {
        match event {
            Event::Received { token: 1, bytes } => {
                driver.send(sink, Chunk::Received(bytes));
                most = most.max(driver.unsent(sink));
                if driver.unsent(sink) > UNSENT_HIGH {
                    driver.receive(source, false);
                    throttled = true;
                    set_tense(true);
                }
            }
            Event::Relaxed { token: 2 } => {
                assert!(throttled, "relaxes only after tension");
                assert!(driver.unsent(sink) <= UNSENT_HIGH / 2);
                driver.receive(source, true);
                throttled = false;
                set_tense(false);
                relaxed += 1;
            }
            Event::Ended {
                token: 1,
                error: None,
            } => {
                driver.close(sink, true);
                return true;
            }
            other => panic!("unexpected: {}", shown(&other)),
        }
        false
    });
    writer.join().unwrap();
    while !reader.is_finished() {
        rig.turn();
    }
    reader.join().unwrap();
    assert!(relaxed >= PAUSES, "each pause ends with Relaxed: {relaxed}");
    // What the kernel had already put into buffers may still come after receiving was switched off.
    assert!(most < 2 << 20, "{most} bytes waited");
}

fn bytes_wait_while_they_are_not_received<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(5);
    let (mut sent, mut received) = (Pattern::default(), Pattern::default());
    for _ in 0..50 {
        rig.driver.receive(handle, true);
        peer.write_all(&sent.take(1000)).unwrap();
        received.check(&rig.receive_exactly(5, 1000));
        rig.driver.receive(handle, false);
        rig.expect_quiet();
        peer.write_all(&sent.take(1000)).unwrap();
        rig.expect_quiet();
        rig.driver.receive(handle, true);
        received.check(&rig.receive_exactly(5, 1000));
    }
}

fn receiving_can_be_switched_at_any_moment<K: Kind>() {
    const LEN: usize = 8 * 1024 * 1024;
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(5);
    let writer = thread::spawn(move || {
        let mut sent = Pattern::default();
        while sent.passed() < LEN {
            let len = 1 + sent.passed() % 40_000;
            peer.write_all(&sent.take(len.min(LEN - sent.passed())))
                .unwrap();
        }
    });
    let mut received = Pattern::default();
    let mut step = 0u32;
    while received.passed() < LEN {
        step += 1;
        // Every order of on, off and turn occurs.
        for bit in 0..4 {
            rig.driver.receive(handle, step >> bit & 1 == 0);
            if step >> (bit + 4) & 1 == 0 {
                rig.turn();
            }
        }
        while let Some(event) = rig.told() {
            match event {
                Event::Received { token: 5, bytes } => received.check(&bytes),
                Event::Ended {
                    token: 5,
                    error: None,
                } => assert_eq!(received.passed(), LEN),
                other => panic!("unexpected: {}", shown(&other)),
            }
        }
    }
    writer.join().unwrap();
}

fn relaxed_comes_once_for_each_time_of_tension<K: Kind>() {
    const LEN: usize = 12 * 1024 * 1024;
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(5);
    let (mut sent, mut received) = (Pattern::default(), Pattern::default());
    for _ in 0..3 {
        rig.driver.send(handle, Chunk::owned(sent.take(LEN)));
        rig.expect_quiet();
        assert!(
            rig.driver.unsent(handle) > UNSENT_HIGH,
            "more than the kernel takes"
        );
        let reader = thread::spawn(move || {
            let mut bytes = vec![0; LEN];
            peer.read_exact(&mut bytes).map(|()| (peer, bytes))
        });
        match rig.next() {
            Event::Relaxed { token: 5 } => {}
            other => panic!("instead of relaxing: {}", shown(&other)),
        }
        while !reader.is_finished() {
            rig.turn();
        }
        let (returned, bytes) = reader.join().unwrap().unwrap();
        received.check(&bytes);
        peer = returned;
        rig.expect_quiet();
        assert_eq!(rig.driver.unsent(handle), 0);
    }
}

fn nothing_is_told_of_relaxing_below_the_bound<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(5);
    for _ in 0..20 {
        rig.driver.send(handle, Chunk::owned(vec![1; UNSENT_HIGH]));
        assert_eq!(rig.driver.unsent(handle), UNSENT_HIGH);
        let reader = thread::spawn(move || peer.read_exact(&mut [0; UNSENT_HIGH]).map(|()| peer));
        while !reader.is_finished() {
            rig.turn();
        }
        peer = reader.join().unwrap().unwrap();
        rig.expect_quiet();
    }
}

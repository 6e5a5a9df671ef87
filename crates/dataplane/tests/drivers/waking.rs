//! Waits end in time: when something comes, when another thread calls, when the time is over.

use crate::rig::{Kind, Rig};
use crate::with_each_driver;
use forebay_dataplane::driver::{Driver, Event};
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

with_each_driver!(
    another_thread_wakes_the_driver,
    no_call_is_missed,
    a_wait_ends_at_its_time_and_not_before,
    a_wait_without_end_ends_when_something_comes,
    the_clock_is_read_once_per_turn,
);

fn another_thread_wakes_the_driver<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let waker = rig.driver.waker();
    for _ in 0..3 {
        let waker = Arc::clone(&waker);
        let caller = thread::spawn(move || waker.wake());
        assert!(matches!(rig.next(), Event::Woken));
        caller.join().unwrap();
        rig.expect_quiet();
    }
    // Calls before a turn are not lost; several may be told as one.
    waker.wake();
    waker.wake();
    waker.wake();
    assert!(matches!(rig.next(), Event::Woken));
    while let Some(event) = rig.quiet() {
        assert!(matches!(event, Event::Woken));
    }
}

fn no_call_is_missed<K: Kind>() {
    const LETTERS: u32 = 20_000;
    let mut rig = Rig::<K>::new();
    let waker = rig.driver.waker();
    let letters = Arc::new(AtomicU32::new(0));
    let box_ = Arc::clone(&letters);
    // As the mailbox does: only who puts in the first letter calls.
    let caller = thread::spawn(move || {
        for _ in 0..LETTERS {
            if box_.fetch_add(1, Ordering::AcqRel) == 0 {
                waker.wake();
            }
        }
    });
    let mut taken = 0;
    while taken < LETTERS {
        assert!(matches!(rig.next(), Event::Woken));
        taken += letters.swap(0, Ordering::AcqRel);
    }
    caller.join().unwrap();
}

fn a_wait_ends_at_its_time_and_not_before<K: Kind>() {
    let mut rig = Rig::<K>::new();
    for millis in [0, 1, 3, 40] {
        let until = rig.clock.now() + Duration::from_millis(millis) + Duration::from_micros(300);
        let mut events = Vec::new();
        let mut turns = 0;
        while rig.driver.now() < until {
            rig.driver.turn(Some(until), &mut events).unwrap();
            turns += 1;
        }
        assert!(events.is_empty());
        assert!(turns <= 3, "{turns} turns to wait {millis} ms");
    }
}

fn a_wait_without_end_ends_when_something_comes<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let (handle, mut peer) = rig.connected(2);
    rig.driver.receive(handle, true);
    rig.turn();
    let ready = Arc::new(Barrier::new(2));
    let writer = {
        let ready = Arc::clone(&ready);
        thread::spawn(move || {
            ready.wait();
            peer.write_all(b"now").map(|()| peer)
        })
    };
    ready.wait();
    let mut events = Vec::new();
    while events.is_empty() {
        rig.driver.turn(None, &mut events).unwrap();
    }
    assert!(matches!(events[0], Event::Received { token: 2, .. }));
    writer.join().unwrap().unwrap();
}

fn the_clock_is_read_once_per_turn<K: Kind>() {
    let mut rig = Rig::<K>::new();
    let before = rig.driver.now();
    let until = rig.clock.now() + Duration::from_millis(2);
    assert_eq!(rig.driver.now(), before);
    rig.wait_quietly(until);
    assert!(rig.driver.now() >= until);
}

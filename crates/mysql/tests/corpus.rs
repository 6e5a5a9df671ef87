//! Replays the corpora of `fuzz/` that are for this crate without a fuzzer, and as many files again with a few bytes changed.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and nobody reads a test's interface"
)]

#[path = "../../../fuzz/src/mysql.rs"]
mod bodies;

use std::path::Path;

/// Changed copies of each file; `FOREBAY_CHANGES` chooses another number.
const CHANGES: u64 = 20;

#[test]
fn nothing_in_the_corpora_breaks_what_it_was_made_for() {
    let changes = std::env::var("FOREBAY_CHANGES").map_or(CHANGES, |text| text.parse().unwrap());
    for (name, body) in bodies::ALL {
        let files = corpus(name);
        assert!(!files.is_empty(), "fuzz/corpus/{name} is empty");
        for (path, data) in files {
            play(&path, *body, &data, None);
            for seed in 1..=changes {
                play(&path, *body, &changed(data.clone(), seed), Some(seed));
            }
        }
    }
}

fn play(path: &str, body: bodies::Body, data: &[u8], seed: Option<u64>) {
    let result = std::panic::catch_unwind(|| body(data));
    if let Err(panic) = result {
        eprintln!("{path}, change {seed:?}: {}", data.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A few bytes set, taken out or doubled, always the same for one seed (SplitMix64).
fn changed(mut data: Vec<u8>, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize
    };
    for _ in 0..=next() % 3 {
        if data.is_empty() {
            break;
        }
        let at = next() % data.len();
        match next() % 4 {
            0 => drop(data.remove(at)),
            1 => data[at] = [0, 1, 4, 0xfb, 0xfc, 0xfd, 0xfe, 0xff][next() % 8],
            2 => data[at] = next() as u8,
            _ => {
                let end = (at + next() % 40).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
        }
    }
    data
}

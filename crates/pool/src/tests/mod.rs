//! Behaviour of the pools as their caller sees it: tables for one worker, several workers in one thread, and random runs.
//!
//! All of them drive a [`fleet::Fleet`]: workers, one database and the mail between them, on a clock that only moves when told.

mod failures;
mod fleet;
mod invariants;
mod one_worker;
mod replacing;
mod several_workers;
mod simulation;
mod threads;

//! The PostgreSQL engine.
pub mod sql;
pub mod scram;

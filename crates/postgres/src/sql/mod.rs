//! What a SQL text does to its session.

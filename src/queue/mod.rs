//! The pure core.

pub mod resolve;

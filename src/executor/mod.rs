//! What runs builds. Floor 4: each executor implements `port::Executor`.

pub mod local;

//! The daemon: wires the real adapters to the engine and runs until it is told to stop. Floor 6.
//!
//! ```text
//! adapters ──> inbox ──> loop (engine, journal) ──> effects ──> adapters
//!                          └──> desk ──> page, socket, metrics
//! ```

mod adapters;
pub mod backup;
pub mod cost;
mod desk;
mod doctor;
mod in_force;
mod log;
mod reload;
mod run;
mod settings;
mod sight;
mod start;
mod timing;
mod upkeep;

use anyhow::Context as _;

pub use doctor::{Asked, DoctorError, doctor};

use crate::config::Config;

/// Serves until SIGTERM or SIGINT; at a SIGHUP it reads the configuration anew.
///
/// # Errors
/// When the state folder, the listening address or an adapter cannot be used, or when the journal
/// breaks for good.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let log = log::Log::begin();
    // Someone else may have installed a provider of cryptography: then theirs serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .context("start the runtime: raise the limit of processes")?;
    let outcome = runtime.block_on(start::serve(config, log));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

/// The system's clock.
pub struct SystemClock;

impl crate::port::Clock for SystemClock {
    fn now(&self) -> crate::model::Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        crate::model::Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

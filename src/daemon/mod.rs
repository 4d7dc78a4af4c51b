//! The daemon: wires the real adapters to the engine and runs until it is told to stop. Floor 6.
//!
//! ```text
//! adapters ──> inbox ──> loop (engine, journal) ──> effects ──> adapters
//!                          └──> desk ──> page, socket, metrics
//! ```

mod adapters;
pub mod backup;
mod desk;
mod doctor;
mod in_force;
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
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("seakeeper=info,warn"));
    // Someone else may have set up logging: then theirs serves.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    // The same for the process's provider of cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .context("start the runtime: raise the limit of processes")?;
    let outcome = runtime.block_on(start::serve(config));
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

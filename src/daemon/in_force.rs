//! The configuration that is in force now, shared by all who decide by it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;

/// A handle on it. Whoever needs it to stay the same for a while keeps what [`InForce::get`] gave.
#[derive(Clone)]
pub struct InForce(Arc<Mutex<Arc<Config>>>);

impl InForce {
    /// Begins with `config`.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(config))))
    }

    /// The one in force now.
    pub fn get(&self) -> Arc<Config> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in force.
    pub fn set(&self, config: Arc<Config>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

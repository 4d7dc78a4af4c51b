//! The daemon's log: what it says from level `info` up names no repository that its readers may not see.
//!
//! Whoever writes a line decides what it tells (numbers of changes are left out or covered there); here
//! stands the last guard, for names that come in with an error of Gerrit or git or with a path.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tracing::Level;
use tracing::metadata::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::desk::Board;

/// Where lines go. Clones write as one.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Weak<Board>>>);

/// One line on its way.
pub struct Line {
    /// Who knows what may not be named; nobody where all may be.
    board: Option<Arc<Board>>,
}

impl Log {
    /// Makes this the process's log, unless there is one already.
    pub fn begin() -> Self {
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("seakeeper=info,warn"));
        let log = Self::default();
        // Someone else may have set up logging: then theirs serves.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone()).try_init();
        log
    }

    /// From now on `board` knows what may be named.
    pub fn follow(&self, board: &Arc<Board>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(board);
    }

    fn board(&self) -> Option<Arc<Board>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { board: self.board() }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        // Whoever asks for more wants all of it.
        Line { board: if *meta.level() <= Level::INFO { self.board() } else { None } }
    }
}

impl Write for Line {
    /// Takes a whole line, as the formatter gives it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.board {
            Some(board) => {
                let text = board.sight().mask(&String::from_utf8_lossy(bytes));
                io::stderr().write_all(text.as_bytes())?;
            }
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

//! The exit codes, all of them: scripts may rely on these numbers.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// What was asked for failed, or a check found a fault.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration, or a story, cannot be used.
    Configuration = 3,
    /// The daemon cannot be reached, or, for the doctor, Gerrit; nothing was done.
    Unreachable = 4,
    /// The daemon understood and said no; nothing was done.
    Refused = 5,
    /// The daemon was asked but did not answer; it may have been done.
    Unknown = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table as `--help` shows it.
pub const HELP: &str = "\
EXIT CODES:
  0  done
  1  what was asked for failed, or a check found a fault
  2  the command line makes no sense
  3  the configuration (for `play`: a story) cannot be used
  4  the daemon (for `doctor`: Gerrit) cannot be reached; nothing was done
  5  the daemon said no; nothing was done
  6  the daemon did not answer; it may have been done";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_each_code() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Configuration,
            Exit::Unreachable,
            Exit::Refused,
            Exit::Unknown,
        ] {
            let code = exit as u8;
            assert!(HELP.contains(&format!("\n  {code}  ")), "{exit:?}");
        }
    }
}

//! The command line: one file per sub-command. Floor 6.

mod backup;
mod build_shim;
mod builds;
mod change_arg;
mod check_config;
mod client;
mod compare;
mod daemon_at;
mod demo;
mod dequeue;
mod doctor;
mod enqueue;
pub mod exit;
mod explain;
mod failure;
mod flakes;
mod output;
mod pause;
mod play;
mod promote;
mod recheck;
mod reload;
mod restore;
mod resume;
mod scope_arg;
mod serve;
mod simulate;
mod stand_in;
mod status;
mod stop;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;

use exit::Exit;

/// A merge queue for Gerrit: it tests approved changes as they will land, and lands exactly what
/// passed.
#[derive(Parser, Debug)]
#[command(name = "seakeeper", version, after_help = exit::HELP, disable_help_subcommand = true)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon.
    #[command(after_help = serve::Serve::EXAMPLES)]
    Serve(serve::Serve),
    /// Say all that is wrong with a configuration, before a daemon is given it.
    #[command(after_help = check_config::CheckConfig::EXAMPLES)]
    CheckConfig(check_config::CheckConfig),
    /// Say all that the daemon lacks on Gerrit and on this machine, and what mends it.
    #[command(after_help = doctor::Doctor::EXAMPLES)]
    Doctor(doctor::Doctor),
    /// Prove the queue against faked worlds full of faults, seed by seed.
    #[command(after_help = simulate::Simulate::EXAMPLES)]
    Simulate(simulate::Simulate),
    /// Play stories on the real core in virtual time: what people do, and what is expected.
    #[command(after_help = play::Play::EXAMPLES)]
    Play(play::Play),
    /// See the queue at work on made-up changes, without setting anything up.
    #[command(after_help = demo::Demo::EXAMPLES)]
    Demo(demo::Demo),
    /// Run a stand-in for Gerrit, to play with or to test against.
    #[command(after_help = stand_in::StandIn::EXAMPLES)]
    StandIn(stand_in::StandIn),
    /// Run one build; the daemon starts this.
    #[command(hide = true)]
    BuildShim(build_shim::BuildShim),
    /// Show the queues, and for each change what it waits for.
    #[command(after_help = status::Status::EXAMPLES)]
    Status(status::Status),
    /// Tell why a change is where it is, when it will probably land, and what has happened to it.
    #[command(after_help = explain::Explain::EXAMPLES)]
    Explain(explain::Explain),
    /// List how many builds a change to each repository causes, and why, the dearest first.
    #[command(after_help = builds::Builds::EXAMPLES)]
    Builds(builds::Builds),
    /// List the jobs that have failed and passed with the same content.
    #[command(after_help = flakes::Flakes::EXAMPLES)]
    Flakes(flakes::Flakes),
    /// Put a change in its queue, for when its approval was missed or is implied.
    #[command(after_help = enqueue::Enqueue::EXAMPLES)]
    Enqueue(enqueue::Enqueue),
    /// Take a change out of its queue, for when it harms others; its author is told why.
    #[command(after_help = dequeue::Dequeue::EXAMPLES)]
    Dequeue(dequeue::Dequeue),
    /// Put changes at the head of their queue, for urgent repairs.
    #[command(after_help = promote::Promote::EXAMPLES)]
    Promote(promote::Promote),
    /// Check a change once more; its author can say so with a comment, too.
    #[command(after_help = recheck::Recheck::EXAMPLES)]
    Recheck(recheck::Recheck),
    /// Stop landing everywhere, in a queue or in a repository; everybody sees why.
    #[command(after_help = pause::Pause::EXAMPLES)]
    Pause(pause::Pause),
    /// Let landing go on where it was stopped.
    #[command(after_help = resume::Resume::EXAMPLES)]
    Resume(resume::Resume),
    /// Have the daemon read its configuration anew; builds whose inputs are unchanged go on.
    #[command(after_help = reload::Reload::EXAMPLES)]
    Reload(reload::Reload),
    /// Write a copy of the daemon's state, also while it runs.
    #[command(after_help = backup::Backup::EXAMPLES)]
    Backup(backup::Backup),
    /// Make a state folder from a copy, for a daemon that does not run.
    #[command(after_help = restore::Restore::EXAMPLES)]
    Restore(restore::Restore),
    /// Show the version of this program, and of the running daemon.
    #[command(after_help = version::Version::EXAMPLES)]
    Version(version::Version),
}

/// Parses the command line, runs what it asks for, and gives the exit code.
pub fn main() -> ExitCode {
    // On a fault clap itself says what is wrong and ends with code 2, which is `Exit::Usage`.
    let command = Cli::parse().command;
    if let Command::BuildShim(shim) = &command {
        return shim.run();
    }
    match run(command) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.tell();
            failure.exit.into()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(command) => command.run(),
        Command::CheckConfig(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Play(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::StandIn(command) => command.run(),
        Command::BuildShim(_) => Ok(()),
        Command::Status(command) => command.run(),
        Command::Enqueue(command) => command.run(),
        Command::Dequeue(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Builds(command) => command.run(),
        Command::Flakes(command) => command.run(),
        Command::Promote(command) => command.run(),
        Command::Recheck(command) => command.run(),
        Command::Pause(command) => command.run(),
        Command::Resume(command) => command.run(),
        Command::Reload(command) => command.run(),
        Command::Backup(command) => command.run(),
        Command::Restore(command) => command.run(),
        Command::Version(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_sub_command_teaches() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing of itself");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("EXAMPLES:\n  seakeeper {name}")), "{name} has no examples");
        }
    }

    #[test]
    fn a_pause_has_one_place_and_a_reason() {
        let parses = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        for (line, expected) in [
            ("seakeeper pause --reason why", true),
            ("seakeeper pause --queue main --reason why", true),
            ("seakeeper pause --queue main --repository core --reason why", false),
            ("seakeeper pause", false),
            ("seakeeper dequeue 1", false),
            ("seakeeper promote", false),
        ] {
            assert_eq!(parses(line), expected, "{line}");
        }
    }
}

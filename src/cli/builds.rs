//! `seakeeper builds`: what a change to each repository costs, and why.

use clap::Args;

use super::check_config::load;
use super::daemon_at::DaemonAt;
use super::exit::Exit;
use super::failure::Failure;
use super::{client, output};
use crate::daemon::cost::count_offline;
use crate::model::cost::{Cause, CausedBuild, ChangeCost, CostOf, Costs};
use crate::web::clean::one_line;

/// Most homes of one job that are named in a line.
const HOMES_MAX: usize = 8;

/// What it takes.
#[derive(Args, Debug)]
pub struct Builds {
    /// Only these, by name or pattern; without a branch all gated ones of the repository.
    #[arg(value_name = "REPOSITORY[:BRANCH]")]
    branches: Vec<String>,
    #[command(flatten)]
    at: DaemonAt,
    /// Count by the configuration file alone: no daemon is asked, and no job file counts.
    #[arg(long, conflicts_with = "socket")]
    offline: bool,
    /// Write it as JSON.
    #[arg(long)]
    json: bool,
}

impl Builds {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper builds
  seakeeper builds web/app 'web/lib:*' --json | jq '.changes[0].count'
  seakeeper builds -c seakeeper.toml --offline web/app

For one branch of each gated repository, or for the branches named: the builds that a change there
causes in the gate, and whether because the job is its own, because the job reads the repository as an
input, or because a site has both. Job files count where they were fetched; those of repositories that
are named are fetched for it.";

    /// Runs it.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or something is named that is not there.
    pub fn run(&self) -> Result<(), Failure> {
        let asked: Vec<CostOf> = self.branches.iter().map(|text| CostOf::parse(text)).collect();
        let costs = if self.offline {
            let config = load(&self.at.config_file())?;
            count_offline(&config.policy, &asked).map_err(|why| Failure::new(Exit::Failed, why))?
        } else {
            client::costs(&self.at, asked)?
        };
        if self.json { output::say_json(&costs) } else { output::say(describe(&costs).join("\n")) }
    }
}

fn describe(costs: &Costs) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &costs.changes {
        let (builds, checkouts) = (counted(change.count, "build"), counted(change.checkouts, "checkout"));
        lines.push(one_line(format_args!("{}: {builds}, {checkouts} (queue {})", change.pair, change.queue)));
        if !change.problem.is_empty() {
            lines.push(one_line(format_args!("  not to be told: {}", change.problem)));
        }
        lines.extend(describe_builds(change));
    }
    let total: usize = costs.changes.iter().map(|change| change.count).sum();
    lines.push(format!(
        "a change to each of these {}: {} in all",
        counted(costs.changes.len(), "branch"),
        counted(total, "build")
    ));
    if let Some(first) = costs.unread.first() {
        lines.push(one_line(format_args!(
            "the job files of {} were not read, as their repositories were not fetched yet; to have them fetched, name them: seakeeper builds {}",
            counted(costs.unread.len(), "branch"),
            first.repository
        )));
    }
    lines
}

/// The builds of a change: one line for each job and cause, with its homes.
fn describe_builds(change: &ChangeCost) -> Vec<String> {
    let mut alike: Vec<(&CausedBuild, Vec<String>)> = Vec::new();
    for build in &change.builds {
        let same = |(other, _): &&mut (&CausedBuild, Vec<String>)| {
            other.job == build.job && other.why == build.why && other.voting == build.voting
        };
        let home = build.home.to_string();
        match alike.iter_mut().find(same) {
            Some((_, homes)) => homes.push(home),
            None => alike.push((build, vec![home])),
        }
    }
    if change.builds.is_empty() && change.count > 0 {
        return vec!["  too many to list here: name the repository".to_owned()];
    }
    let tell = |(build, homes): (&CausedBuild, Vec<String>)| {
        let more = homes.len().saturating_sub(HOMES_MAX);
        let mut of = match build.why {
            Cause::Own => String::new(),
            _ => format!(" of {}", homes[..homes.len() - more].join(", ")),
        };
        if more > 0 {
            of.push_str(&format!(" and {more} more"));
        }
        let voting = if build.voting { "" } else { ", non-voting" };
        one_line(format_args!("  {}{of}: {}{voting}", build.job, build.why))
    };
    alike.into_iter().map(tell).collect()
}

/// `1 build`, `2 builds`, `2 branches`.
fn counted(count: usize, noun: &str) -> String {
    match (count, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "branch") => format!("{count} branches"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pair;

    #[test]
    fn builds_are_told_by_job_and_cause_with_their_homes() {
        let build = |job: &str, home: &str, voting: bool, why: Cause| CausedBuild {
            job: job.into(),
            home: Pair::new(home, "main"),
            voting,
            checkouts: 2,
            why,
        };
        let site = || Cause::Site("web".into());
        let builds = vec![
            build("unit", "app", true, site()),
            build("unit", "lib", true, Cause::Own),
            build("unit", "tool", true, site()),
            build("whole", "app", false, Cause::Input),
        ];
        let change = ChangeCost {
            pair: Pair::new("lib", "main"),
            queue: "main".into(),
            count: builds.len(),
            checkouts: 8,
            builds,
            problem: "".into(),
        };
        let none = ChangeCost {
            pair: Pair::new("odd", "main"),
            count: 0,
            checkouts: 0,
            builds: Vec::new(),
            problem: "it is broken".into(),
            ..change.clone()
        };
        let costs = Costs { changes: vec![change, none], unread: vec![Pair::new("far", "main")] };
        assert_eq!(
            describe(&costs),
            [
                "lib main: 4 builds, 8 checkouts (queue main)",
                "  unit of app main, tool main: through site web",
                "  unit: own",
                "  whole of app main: reads it as input, non-voting",
                "odd main: 0 builds, 0 checkouts (queue main)",
                "  not to be told: it is broken",
                "a change to each of these 2 branches: 4 builds in all",
                "the job files of 1 branch were not read, as their repositories were not fetched yet; to have them fetched, name them: seakeeper builds far",
            ]
        );
    }
}

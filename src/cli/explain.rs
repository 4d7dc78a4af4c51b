//! `seakeeper explain`: why a change is where it is.

use clap::Args;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{change_arg, client, output};
use crate::model::ChangeNumber;
use crate::model::time::in_words;
use crate::web::Explanation;
use crate::web::clean::one_line;

/// What it takes.
#[derive(Args, Debug)]
pub struct Explain {
    /// The change: its number or its address.
    #[arg(value_parser = change_arg::parse)]
    change: ChangeNumber,
    #[command(flatten)]
    at: DaemonAt,
    /// Write it as JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper explain 1234
  seakeeper explain https://gerrit.example.org/c/core/+/1234 --json | jq -r .landing

What it waits for, its place and why it stands there, when it will probably land, and what has
happened to it: the same as on the change's page.";

    /// Runs it.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or knows nothing of the change.
    pub fn run(&self) -> Result<(), Failure> {
        let found = client::explain(&self.at, self.change)?;
        if self.json { output::say_json(&found) } else { output::say(describe(&found).join("\n")) }
    }
}

fn describe(found: &Explanation) -> Vec<String> {
    let change = &found.change;
    let mut lines = vec![
        one_line(format_args!(
            "change {},{} {}: {}",
            change.number, change.patchset, change.pair, change.subject
        )),
        one_line(format_args!("  {}: {}", found.state, found.words)),
    ];
    let more = [&found.place, &found.landing];
    lines.extend(more.iter().filter(|text| !text.is_empty()).map(|text| one_line(format_args!("  {text}"))));
    lines.extend(found.unbuilt.iter().map(|text| one_line(format_args!("  {text}"))));
    for entry in &found.history {
        let ago = in_words(found.at.since_ms(entry.at));
        lines.push(one_line(format_args!("  {ago:>12} ago  {}", entry.words)));
    }
    lines
}

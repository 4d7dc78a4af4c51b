//! `seakeeper demo vote`: a vote on a change of a demonstration or a stand-in that runs.

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::standin::token_of;

/// What it takes.
#[derive(Args, Debug)]
pub struct Vote {
    /// The change's number.
    #[arg(value_name = "CHANGE")]
    change: u64,
    /// The value, from -2 to +2; 0 takes a vote back.
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: i32,
    /// Who votes: admin, alice, bob or bot.
    #[arg(long = "as", value_name = "ACCOUNT", default_value = "bob")]
    account: String,
    /// What is voted on.
    #[arg(long, default_value = "Code-Review")]
    label: String,
    /// Where the demonstration's Gerrit answers.
    #[arg(long, default_value = "http://127.0.0.1:8088/")]
    url: String,
}

impl Vote {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper demo vote 9 +2               # bob approves change 9
  seakeeper demo vote 9 -2 --as admin    # a veto
  seakeeper demo vote 9 0                # bob takes his vote back";

    /// Votes.
    ///
    /// # Errors
    /// When there is no such account or change, or no demonstration.
    pub fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let voted = runtime.context("vote").and_then(|runtime| runtime.block_on(self.vote()));
        voted.map_err(|error| Failure::from_error(Exit::Failed, &error))?;
        output::say(format_args!(
            "{} votes {} {:+} on change {}",
            self.account, self.label, self.value, self.change
        ))
    }

    async fn vote(&self) -> Result<()> {
        let Some(token) = token_of(&self.account) else {
            bail!("vote: there is no account {}; choose admin, alice, bob or bot", self.account);
        };
        let client = reqwest::Client::builder().no_proxy().build().context("make an HTTP client")?;
        let path = format!("a/changes/{}/revisions/current/review", self.change);
        let url = format!("{}/{path}", self.url.trim_end_matches('/'));
        let body = json!({ "labels": { &self.label: self.value } });
        let sent = client.post(url).basic_auth(&self.account, Some(token)).json(&body).send().await;
        let answer = sent.with_context(|| {
            format!("reach the demonstration at {}; start one with `seakeeper demo`, or give the address that it printed with --url", self.url)
        })?;
        let status = answer.status();
        let text = answer.text().await.context("read the answer")?;
        if !status.is_success() {
            bail!("vote on change {}: {}", self.change, text.trim());
        }
        let json: Value = serde_json::from_str(text.trim_start_matches(")]}'")).context("read the answer")?;
        // Gerrit drops what it does not know and says that all is well.
        if json.pointer(&format!("/labels/{}", self.label)).and_then(Value::as_i64) != Some(self.value.into())
        {
            bail!(
                "vote {} {:+}: there is no such label or value; Code-Review goes from -2 to +2",
                self.label,
                self.value
            );
        }
        Ok(())
    }
}

//! What concerns the whole server: that it answers, the daemon's account, the stream of events,
//! settings and plug-ins.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::finding::{Body, Call, Finding, Level};
use super::targets::Grant;
use super::{GROUP, View};
use crate::gerrit::rest::{RestError, encode};
use crate::gerrit::ssh::{SshError, public_key};
use crate::gerrit::sweep::whole_topics;
use crate::gerrit::wire::{list, text};

/// The releases that the daemon is tested with: major number, least and greatest minor number.
const VERSIONS: (u32, u32, u32) = (3, 12, 14);

/// What is known of the daemon's account.
pub(super) struct Account {
    /// Its groups, with the predefined ones.
    pub groups: BTreeSet<String>,
    /// The id of the group that rights are granted to, where it can be seen.
    pub service: Option<String>,
    /// The address of merge commits, where it is none of the account's.
    pub foreign_committer: Option<String>,
}

/// Looks at all of it. `None` when the account cannot sign in, or the server does not answer.
pub(super) async fn look(view: &View<'_>, findings: &mut Vec<Finding>) -> Option<Account> {
    let me = essentials(view, findings).await?;
    let groups = view.bot.get("accounts/self/groups").await.unwrap_or_default();
    let ids: BTreeMap<String, String> = groups.as_array().into_iter().flatten().filter_map(group).collect();
    let known = view.reader().get(&format!("groups/{}", encode(GROUP))).await.ok();
    let service = ids.get(GROUP).cloned().or_else(|| known.as_ref().and_then(|found| Some(group(found)?.1)));
    findings.push(membership(view, ids.contains_key(GROUP)));
    let (committer, foreign_committer) = committer(view, &me).await;
    findings.push(committer);
    findings.extend(settings(view).await);
    findings.push(plugins(view).await);
    Some(Account { groups: ids.into_values().collect(), service, foreign_committer })
}

/// Looks at what the daemon cannot do without; gives the account as Gerrit describes it.
pub(super) async fn essentials(view: &View<'_>, findings: &mut Vec<Finding>) -> Option<Value> {
    let me = match view.bot.get("accounts/self").await {
        Ok(me) => me,
        Err(error) => {
            findings.push(sign_in(view, &error).await);
            return None;
        }
    };
    match view.bot.get("config/server/version").await {
        Ok(version) => findings.push(judge_version(version.as_str().unwrap_or_default())),
        Err(error) => findings.push(Finding::of_error("reachable", view.url, &error, "see Gerrit's log")),
    }
    findings.push(account(view, &me));
    findings.push(stream_right(view).await);
    findings.push(ssh(view).await);
    Some(me)
}

fn group(value: &Value) -> Option<(String, String)> {
    let id = text(value, "id")?;
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned();
    Some((text(value, "name")?.to_owned(), id))
}

fn judge_version(version: &str) -> Finding {
    let place = "Gerrit";
    let mut numbers = version.trim_start_matches('v').split(['.', '-']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        let what = format!("it calls its version {version:?}, from which nothing can be told");
        return Finding::new("version", Level::Note, place, what);
    };
    let (wanted, least, greatest) = VERSIONS;
    if (major, minor) < (wanted, least) {
        let what = format!("version {version} is older than {wanted}.{least}");
        return Finding::new("version", Level::Lack, place, what).remedy("upgrade Gerrit");
    }
    if (major, minor) > (wanted, greatest) {
        let what = format!("version {version} is newer than {wanted}.{greatest}, the newest that was tried");
        return Finding::new("version", Level::Warning, place, what)
            .remedy("see whether there is a newer release of this program");
    }
    Finding::well("version", place, format!("it answers, version {version}"))
}

/// What is wrong with the account or its token, as far as an administrator can see it.
async fn sign_in(view: &View<'_>, error: &RestError) -> Finding {
    let place = format!("account {}", view.user);
    let found = Finding::of_error("token", &place, error, "see Gerrit's error log");
    let Some(admin) = view.admin else { return found };
    let path = format!("accounts/{}", encode(view.user));
    let is_missing = matches!(admin.get(&path).await, Err(RestError::NotFound(_)));
    if !is_missing {
        let line = Call::json("PUT", format!("{path}/tokens/seakeeper"), json!({})).curl(view.url);
        return found.remedy(format!(
            "make a new token and write the `token` of the answer into `token-file`:\n{line}"
        ));
    }
    let mut body = json!({ "name": "Seakeeper", "groups": [GROUP] });
    if let Some(email) = &view.needs.committer_email {
        body["email"] = email.as_str().into();
    }
    if let Ok(key) = public_key(&view.address.key) {
        body["ssh_key"] = key.into();
    }
    Finding::new("token", Level::Lack, place, "Gerrit has no such account")
        .calls(view.url, vec![Call::json("PUT", path, body)])
}

fn account(view: &View, me: &Value) -> Finding {
    let place = format!("account {}", view.user);
    let name = text(me, "username").unwrap_or_default();
    if name != view.user {
        let what = format!("Gerrit calls the account {name:?}, the configuration {:?}", view.user);
        return Finding::new("account", Level::Lack, place, what)
            .remedy("write the account's user name as Gerrit has it: own votes are known by it");
    }
    Finding::well("account", place, "its token is good")
}

async fn stream_right(view: &View<'_>) -> Finding {
    let place = format!("account {}", view.user);
    let has = |may: &Value| may.get("streamEvents").and_then(Value::as_bool) == Some(true);
    match view.bot.get("accounts/self/capabilities?q=streamEvents").await {
        Ok(may) if has(&may) => Finding::well("stream-events", place, "it may stream events"),
        Ok(_) => {
            let grant = Grant::of("streamEvents", "GLOBAL_CAPABILITIES").call("All-Projects");
            let what = format!("the account {} may not stream events", view.user);
            Finding::new("stream-events", Level::Lack, place, what)
                .calls(view.url, vec![view.membership(), grant])
        }
        Err(error) => Finding::of_error("stream-events", &place, &error, "see Gerrit's error log"),
    }
}

async fn ssh(view: &View<'_>) -> Finding {
    let place = format!("SSH {}:{}", view.address.host, view.address.port);
    let error = match view.address.open().await {
        Ok(stream) => {
            stream.close().await;
            return Finding::well("ssh", place, "the host's key is known, the account's key is accepted");
        }
        Err(error) => error,
    };
    let found = Finding::of_error("ssh", &place, &error, "check `ssh` in [gerrit]");
    match (&error, public_key(&view.address.key)) {
        (SshError::Denied { .. }, Ok(key)) => {
            let path = format!("accounts/{}/sshkeys", encode(view.user));
            found.calls(view.url, vec![Call { method: "POST", path, body: Body::Text(key) }])
        }
        _ => found,
    }
}

fn membership(view: &View, is_member: bool) -> Finding {
    let place = format!("account {}", view.user);
    if is_member {
        return Finding::well("service-user", place, format!("it is in the group {GROUP}"));
    }
    let what = format!(
        "it is not in the group {GROUP}: it takes workers from people, enters attention sets, and has no rights granted to that group"
    );
    Finding::new("service-user", Level::Warning, place, what).calls(view.url, vec![view.membership()])
}

/// Whether merge commits can carry an address that Gerrit takes; and the address if it is not the account's.
async fn committer(view: &View<'_>, me: &Value) -> (Finding, Option<String>) {
    let place = format!("account {}", view.user);
    let emails = view.bot.get("accounts/self/emails").await.unwrap_or_default();
    let all = json!({ "all": emails });
    let known: Vec<&str> = list(&all, "all").iter().filter_map(|email| text(email, "email")).collect();
    let wanted = view.needs.committer_email.as_deref().or_else(|| text(me, "email"));
    match wanted {
        Some(email) if known.contains(&email) || text(me, "email") == Some(email) => {
            (Finding::well("committer", place, format!("merges carry its address {email}")), None)
        }
        Some(email) => {
            let what = format!(
                "merges carry {email}, which is none of its addresses: it takes Forge Committer, looked at below"
            );
            (Finding::new("committer", Level::Note, place, what), Some(email.to_owned()))
        }
        None => {
            let host = view.url.split("://").nth(1).unwrap_or_default();
            let host = host.split(['/', ':']).next().unwrap_or_default();
            let call = add_email(view, &format!("{}@{host}", view.user));
            let finding =
                Finding::new("committer", Level::Lack, place, "it has no address for merge commits");
            (finding.calls(view.url, vec![call]), None)
        }
    }
}

/// Adds an address to the account.
pub(super) fn add_email(view: &View, email: &str) -> Call {
    let path = format!("accounts/{}/emails/{}", encode(view.user), encode(email));
    Call::json("PUT", path, json!({ "email": email, "no_confirmation": true }))
}

async fn settings(view: &View<'_>) -> Vec<Finding> {
    let place = "Gerrit";
    let info = match view.bot.get("config/server/info").await {
        Ok(info) => info,
        Err(error) => {
            let what = format!("its settings cannot be read: failed to {error}");
            return vec![Finding::new("settings", Level::Unknown, place, what)];
        }
    };
    let topic = match whole_topics(&info) {
        true => Finding::new(
            "submit-whole-topic",
            Level::Note,
            place,
            "change.submitWholeTopic is set: changes of one topic land together, where a queue does not say `topics = \"apart\"`; a queue with `landing = \"submit\"` cannot test a topic as one, and Gerrit would land it whole: use `push`",
        ),
        false => Finding::well("submit-whole-topic", place, "change.submitWholeTopic is not set"),
    };
    let strict = "unknown labels and values: dropped or refused (change.strictLabels), the answer to each vote is compared";
    vec![topic, Finding::well("strict-labels", place, strict)]
}

async fn plugins(view: &View<'_>) -> Finding {
    let place = "Gerrit";
    let how = format!(
        "ask an administrator for `ssh -p {} {} gerrit plugin ls`, or push a merge to a scratch branch with --push-to",
        view.address.port, view.address.host
    );
    let Ok(found) = view.reader().get("plugins/").await else {
        let what =
            "its plug-ins cannot be seen by this account; some validate commits, the daemon's merges too";
        return Finding::new("plugins", Level::Unknown, place, what).remedy(how);
    };
    let names: Vec<&str> = found.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Finding::well("plugins", place, "it has no plug-ins");
    }
    let what =
        format!("plug-ins: {}; those that validate commits judge the daemon's merges too", names.join(", "));
    Finding::new("plugins", Level::Note, place, what)
        .remedy("push a merge to a scratch branch with --push-to to see what they say")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged_as_numbers() {
        for (version, expected) in [
            ("3.13.5", Level::Well),
            ("3.12.0-rc1", Level::Well),
            ("3.14", Level::Well),
            ("(dev)", Level::Note),
            ("3.9.1", Level::Lack),
            ("2.16.8", Level::Lack),
            ("3.15.0", Level::Warning),
            ("4.0.0", Level::Warning),
        ] {
            assert_eq!(judge_version(version).level, expected, "{version}");
        }
    }
}

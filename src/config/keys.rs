//! Every key of the configuration, once: the reader refuses others, and the reference page and the
//! example are made from this table.

/// What an absent key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// It must be there.
    Required,
    /// This value, as TOML.
    Value(&'static str),
    /// What the words say.
    Words(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    /// Its table, for example `executor.local`; empty at the top of the file.
    pub table: &'static str,
    /// Its name.
    pub key: &'static str,
    /// What its absence means.
    pub absent: Absent,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it does.
    pub text: &'static str,
}

const fn required(
    table: &'static str,
    key: &'static str,
    example: &'static str,
    text: &'static str,
) -> KeyDoc {
    KeyDoc { table, key, absent: Absent::Required, example, text }
}

const fn value(table: &'static str, key: &'static str, default: &'static str, text: &'static str) -> KeyDoc {
    KeyDoc { table, key, absent: Absent::Value(default), example: default, text }
}

const fn words(
    table: &'static str,
    key: &'static str,
    default: &'static str,
    example: &'static str,
    text: &'static str,
) -> KeyDoc {
    KeyDoc { table, key, absent: Absent::Words(default), example, text }
}

/// The tables in the order of the reference: heading as written in the file, and what it is about.
pub(super) const TABLES: &[(&str, &str, &str)] = &[
    ("gerrit", "[gerrit]", "The review host and the daemon's account there."),
    ("state", "[state]", "Where the daemon keeps its journal and repositories, and for how long."),
    ("logs", "[logs]", "How long what builds wrote is kept."),
    ("web", "[web]", "The status page and the API."),
    ("executor.local", "[executor.local]", "Builds as processes on the daemon's own machine."),
    ("repositories", "[repositories]", "What repositories may say themselves."),
    ("pipeline.gate", "[pipeline.gate]", "What admits a change to its queue, and the daemon's vote."),
    ("pipeline.check", "[pipeline.check]", "What is done with each new patch set."),
    (
        "pipeline.post",
        "[pipeline.post]",
        "What is done after something has landed on a branch: jobs with `post` in their `pipelines` run at the new tip. See docs/pipelines.md.",
    ),
    (
        "pipeline.periodic",
        "[[pipeline.periodic]]",
        "A pipeline that runs at set times: jobs with its name in their `pipelines` run at the tip of each of their branches.",
    ),
    (
        "pipeline.on-demand",
        "[[pipeline.on-demand]]",
        "A pipeline that a comment asks for: jobs with its name in their `pipelines` run on the change, which lands nothing.",
    ),
    (
        "queue",
        "[[queue]]",
        "Repositories whose changes are tested together, in order. There must be at least one; a repository belongs to the first that matches.",
    ),
    (
        "template",
        "[template.NAME]",
        "Keys that several jobs share: any of `[[job]]` but `name`, `repositories`, `branches` and `template`. A job takes them with `template = \"NAME\"`, and what it says itself goes first. Job files may name these templates, too.",
    ),
    (
        "site",
        "[[site]]",
        "Repositories that are deployed together. Their jobs read each other, and run for each other's changes; see docs/sites.md for what that costs.",
    ),
    ("job", "[[job]]", "What is built. Jobs of this file are enforced: no repository can weaken them."),
    ("priority", "[priority]", "Who goes first in a queue. Operators move changes with `seakeeper promote`."),
    ("limits", "[limits]", "Bounds and deadlines; the defaults suit most sites."),
    (
        "job.inputs",
        "an element of `inputs`",
        "A further repository that a job reads; written as a text it is the repository alone.",
    ),
    (
        "pipeline.gate.approval",
        "an element of `approval`",
        "A vote that must stand; written as a text it is label and value, as in `Code-Review +2`.",
    ),
];

/// Tables that hold only tables.
const PARENTS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "gerrit",
            "state",
            "logs",
            "web",
            "executor",
            "repositories",
            "pipeline",
            "queue",
            "template",
            "site",
            "job",
            "priority",
            "limits",
        ],
    ),
    ("executor", &["local"]),
    ("pipeline", &["gate", "check", "post", "periodic", "on-demand"]),
];

/// Keys of `[[job]]` that stand in a repository's own job file; the others are the operator's.
pub(super) const JOB_FILE_KEYS: &[&str] = &[
    "name",
    "inputs",
    "sites",
    "paths",
    "ignored-files",
    "runs-for",
    "files",
    "commands",
    "environment",
    "timeout",
    "needs",
    "voting",
    "history",
    "reuse",
    "attempts",
    "template",
    "pipelines",
];

/// Keys of `[[job]]` that each job says for itself.
const OWN_KEYS: &[&str] = &["name", "repositories", "branches", "template"];

#[rustfmt::skip]
const KEYS: &[KeyDoc] = &[
    required("gerrit", "url", r#""https://gerrit.example.org/""#, "Gerrit's address, with its path if it has one."),
    words("gerrit", "other-urls", "none", r#"["https://review.example.org/"]"#, "Other addresses under which people know it: changes in `Depends-On` may be written with them too."),
    required("gerrit", "user", r#""seakeeper""#, "The daemon's user name there."),
    required("gerrit", "token-file", r#""gerrit.token""#, "File with the account's HTTP token; only the daemon should be able to read it."),
    required("gerrit", "ssh", r#""gerrit.example.org:29418""#, "Host and port of Gerrit's SSH, for the stream of events."),
    required("gerrit", "ssh-key", r#""id_ed25519""#, "The account's private SSH key."),
    required("gerrit", "known-hosts", r#""known_hosts""#, "Gerrit's host keys, as `ssh-keyscan` writes them."),
    words("gerrit", "committer-name", "the user name", r#""Seakeeper""#, "Name in the merge commits that the daemon makes."),
    words("gerrit", "committer-email", "the user name at Gerrit's host", r#""seakeeper@example.org""#, "Address in those commits; Gerrit wants one that the account has."),
    value("gerrit", "poll-interval", r#""30s""#, "How often the tips of gated branches are read, beside the stream of events."),
    value("gerrit", "sweep-interval", r#""10m""#, "How often all open changes and tips are read."),
    value("state", "folder", r#""state""#, "Folder of the journal, the repositories and the logs; made when it is not there."),
    value("state", "min-free", r#""1GiB""#, "No new build begins while the folder's volume has less room than this."),
    value("state", "keep-days", "14", "For how many days the journal keeps what its snapshots already contain."),
    value("state", "unused-days", "30", "After how many days without use the objects of a repository go that no queue gates and no job names."),
    value("logs", "keep-days", "30", "For how many days logs and records of builds are kept."),
    value("logs", "keep-bytes", r#""10GiB""#, "What all logs together may take; the oldest go first."),
    value("web", "listen", r#""127.0.0.1:8888""#, "Address and port to listen on."),
    words("web", "public-url", "made from `listen`", r#""https://ci.example.org/""#, "The page's address for people, used in links."),
    value("web", "visible-to", r#""anonymous""#, "Whose right to read in Gerrit decides what is shown: `anonymous`, or `bot` for all that the daemon sees."),
    words("executor.local", "slots", "the number of processors", "8", "Builds that may run at once."),
    value("executor.local", "unconfined", "false", "Run builds of unreviewed code even where nothing keeps them from the daemon's files."),
    value("executor.local", "network", "true", "Whether builds may use the network."),
    value("executor.local", "max-output", r#""64MiB""#, "What is kept of a build's output."),
    value("repositories", "job-files", "true", "Whether repositories may declare jobs in a `seakeeper.toml` of their own."),
    value("repositories", "longest-timeout", r#""4h""#, "The longest `timeout` that such a job may have."),
    value("repositories", "most-jobs", "100", "How many jobs one such file may have."),
    value("pipeline.gate", "approval", r#"["Code-Review +2"]"#, "The votes that a change needs, all of them. A negative vote on one of these labels, by whomever, keeps it out."),
    value("pipeline.gate", "label", r#""Verified""#, "The label that the daemon votes on."),
    value("pipeline.gate", "success", "1", "Its vote when the jobs pass."),
    value("pipeline.gate", "failure", "-1", "Its vote when a job fails."),
    value("pipeline.gate", "start-message", r#""15s""#, "A change still undecided after so long is told that it is being worked on; `never` for silence."),
    value("pipeline.check", "enabled", "true", "Whether new patch sets are built."),
    value("pipeline.check", "success", "1", "The vote when the jobs pass; 0 for none."),
    value("pipeline.check", "failure", "-1", "The vote when a job fails; 0 for none."),
    value("pipeline.check", "recheck", r#""recheck""#, "A comment with a line of this word alone asks for another check: what failed is built anew. `\"\"` for none."),
    value("pipeline.post", "report", "true", "Whether the change since which a job fails on the branch is told so, without a vote."),
    value("pipeline.post", "bisect", "true", "Whether that change is looked for: builds of the job at tips in between, by halves."),
    required("pipeline.periodic", "name", r#""nightly""#, "Its name, for jobs, pages and messages."),
    required("pipeline.periodic", "cron", r#""0 3 * * *""#, "When it runs: minute, hour, day of the month, month and day of the week, as in a crontab."),
    value("pipeline.periodic", "time-zone", r#""UTC""#, "The time zone of those, by its IANA name, for example `Europe/Berlin`."),
    value("pipeline.periodic", "bisect", "false", "Whether the change since which a job fails is looked for, and told so."),
    required("pipeline.on-demand", "name", r#""perf""#, "Its name, for jobs, pages and messages."),
    required("pipeline.on-demand", "comment", r#""check perf""#, "A comment with a line of exactly this asks for it; so does `seakeeper recheck CHANGE --pipeline NAME`."),
    value("pipeline.on-demand", "success", "0", "The vote when its jobs pass, on the gate's label; 0 for none."),
    value("pipeline.on-demand", "failure", "0", "The vote when a job fails; 0 for none."),
    required("queue", "name", r#""main""#, "Its name, in messages and on the page."),
    required("queue", "repositories", r#"["mediawiki/*"]"#, "Its repositories; `*` stands for any characters, `?` for one. May be left out with `sites`."),
    value("queue", "sites", "false", "Whether it stands for one queue for each group of sites that share a repository, with all its other keys: `NAME` where there is one group, else `NAME-SITE` after the first site of each. With `repositories` beside it, `NAME` is the queue of those that are in no site."),
    value("queue", "branches", r#"["*"]"#, "Its branches."),
    value("queue", "per-branch", "false", "Whether it stands for one queue for each branch, named `NAME:BRANCH`: changes of different branches then do not wait for each other, and are not tested together."),
    value("queue", "strategy", r#""adaptive""#, "`adaptive` builds the likeliest states as far as slots go, and batches where they do not suffice; `ranked` never makes batches, `batch` always does under load; `dependent` builds the first `window` changes at once, each on those ahead (the default where `window` is set); `serial` builds one at a time. See docs/strategies.md."),
    value("queue", "window", "40", "The first so many changes of the queue are built at once by `dependent`, those counted of which nothing is to be built."),
    value("queue", "window-growth", "false", "Whether that number grows by one with each change that lands, up to five times itself, and is halved by each that fails, down to 3."),
    value("queue", "batch-max", "8", "How many consecutive changes of one branch `adaptive` and `batch` may judge as one, by builds of the last of them; 1 for none. A batch can land a change that alone would fail, if a later one in it repairs that."),
    value("queue", "alternatives", "0", "How many of all slots, per cent (0 to 50), `adaptive` and `ranked` may use to build changes a second time, without the one ahead of them that is likeliest to fail: only slots that nobody else wants. 5 is a good value where the slowest changes matter more than builds; rounded down, so that it means none with fewer than 20 slots. 0 for none."),
    value("queue", "early-landing", "false", "Whether a change may land before a slower one ahead of it: only where nothing else undecided has to do with either, once it has passed with and without that one, and that one's jobs have passes for its state behind it. It needs `alternatives`, which build the second state. A change that would fail alone may land so, if the one that goes first repairs it."),
    value("queue", "fail-fast", "false", "Whether the first failed voting build of a change ends its others and takes it out; `false` lets them end first, so that its author hears of all failures. Those behind are built without it from the first failure on either way."),
    value("queue", "max-items-per-push", "50", "How many changes that passed may land in one push."),
    value("queue", "merge-from", "[]", "Branches whose commits a merge commit may bring in unreviewed."),
    value("queue", "topics", r#""as-gerrit""#, "`together`: the open changes of one topic in this queue are one item, which lands whole; `apart`: a topic is a name only; `as-gerrit`: together where Gerrit itself submits whole topics (`change.submitWholeTopic`) and the queue lands by push."),
    value("queue", "landing", r#""push""#, "`push`: the daemon pushes the tested commit; `submit`: Gerrit submits one change after another, and what it makes is compared with what was tested."),
    value("queue", "after-failure", r#""forget""#, "`forget`: after a failure a new vote is needed; `keep`: the change comes back when the cause is gone."),
    value("queue", "outside", r#""strict""#, "How jobs see branches that they read and that this queue does not gate: `strict`: as they stand, and when one moves what has read it is judged again; `pinned`: all changes of the queue see one commit of each, until it is as old as `outside-age` or the queue is empty. What moves outside meanwhile is not tested with what lands."),
    value("queue", "outside-age", r#""1h""#, "How old such a commit may be."),
    required("site", "name", r#""web""#, "Its name."),
    required("site", "repositories", r#"["mediawiki/core", "mediawiki/vendor"]"#, "Its repositories: names, which must be there, or patterns with `*` and `?`. They may be in other sites, too."),
    words("site", "branch", "the default branch of each", r#""main""#, "The branch that is read of a repository that has none of the name of the change's branch."),
    value("site", "inputs", "true", "Whether each job of these repositories reads all of them: it then runs for changes to each of them, on the state that the queue ahead produces. `false`: the site only groups queues."),
    required("job", "name", r#""unit""#, "Its name."),
    words("job", "repositories", "those of all queues", r#"["mediawiki/*"]"#, "The repositories that it is for."),
    value("job", "branches", r#"["*"]"#, "The branches that it is for."),
    required("job", "commands", r#"["make test"]"#, "Shell commands, run one after another in the checkout."),
    value("job", "inputs", "[]", "Further repositories that it reads; it runs for their changes too."),
    value("job", "sites", "true", "Whether it reads the other repositories of its repository's sites, and runs for their changes, where the site has `inputs`."),
    value("job", "paths", "[]", "Only these paths are checked out; a change elsewhere needs no build once the same content has passed. All when empty."),
    value("job", "ignored-files", "[]", "Files (patterns) that are left out of the checkout, for example `docs/*`."),
    value("job", "runs-for", r#""inputs""#, "`inputs`: for changes to any of its inputs; `own`: for changes to its own repository only; `files`: for changes to its `files` only."),
    value("job", "files", "[]", "With `runs-for = \"files\"`: the files (patterns), of its repository or of an input, for whose changes it runs, for example `src/*`. See docs/jobs.md."),
    value("job", "needs", "[]", "Jobs that must pass first, for the same change and branch: they run wherever this one does. When one of them fails, this one is skipped. See docs/jobs.md."),
    value("job", "environment", "{}", "Variables for the commands."),
    value("job", "timeout", r#""30m""#, "A build that takes longer has failed."),
    value("job", "voting", "true", "Whether its verdict decides; otherwise it is only reported."),
    value("job", "history", "false", "Whether its commands need the history of commits."),
    value("job", "reuse", r#""always""#, "How long a verdict serves for the same content: `always`, `never`, or a duration."),
    words("job", "template", "none", r#""NAME""#, "The template (`[template.NAME]`) whose keys it has where it has none itself; of `environment` it has both, its own winning."),
    value("job", "attempts", "1", "How often it may run, if it fails, before the change has failed: a number, or `where-it-pays` for up to three times while at least one in five repeated builds of the job passes."),
    value("job", "pipelines", r#"["check", "gate"]"#, "The pipelines in which it runs: `check`, `gate`, `post`, and the names of periodic and on-demand ones. A verdict serves all of them."),
    value("job", "trust", r#""default""#, "What its builds could touch; verdicts serve only within the same word."),
    value("priority", "fair-share", "true", "Whether owners take turns, so that many changes of one owner do not hold up those of others."),
    value("priority", "changes-per-turn", "3", "How many changes of one owner make a turn: as long as nobody has more than that in a queue, the order is that of approval."),
    words("priority", "urgent-hashtag", "none: no change is urgent", r#""urgent""#, "Changes with this hashtag go before others, with what they rest on. Gerrit's right *Edit Hashtags* says which groups may set it."),
    value("priority", "urgent-accounts", "[]", "User names: the hashtag counts only on changes that one of them owns or has approved. Everybody's when empty."),
    value("priority", "urgent-overtakes", "20", "How many urgent changes may go before one that was there earlier; so nothing waits for ever."),
    words("priority", "most-per-owner", "no limit", "10", "How many changes of one owner are built at once in a queue."),
    words("priority", "most-per-repository", "no limit", "20", "How many changes to one repository are built at once in a queue."),
    value("limits", "look-age", r#""1s""#, "How old the last look at a change may be when a push begins."),
    value("limits", "settle", r#""5m""#, "How long a push of unknown outcome may still land; more than Gerrit's `receive.timeout`."),
    value("limits", "effect", r#""2m""#, "How long a request to another system may take."),
    value("limits", "retry", r#""1s""#, "First pause before something is tried again."),
    value("limits", "retry-max", r#""5m""#, "Longest such pause."),
    value("limits", "infrastructure-attempts", "5", "How often a build is run again after a failure that was not its own."),
    value("limits", "build-grace", r#""1m""#, "How long after its timeout an unreported build counts as lost."),
    value("limits", "close-after", r#""5s""#, "How long a landed change may stay open before it is closed by a request."),
    value("limits", "remembered", "200", "How many changes that have left are shown on the page."),
    required("job.inputs", "repository", r#""shared/library""#, "The repository."),
    words("job.inputs", "branch", "the change's own branch where there is one, else the default branch", r#""main""#, "Its branch."),
    value("job.inputs", "paths", "[]", "Only these paths of it are read. All when empty."),
    required("pipeline.gate.approval", "label", r#""Code-Review""#, "The label."),
    required("pipeline.gate.approval", "value", "2", "The least vote."),
];

/// Every key, in the order of the reference.
pub fn reference() -> Vec<KeyDoc> {
    KEYS.to_vec()
}

/// The keys of `table`.
fn names(table: &str) -> Vec<&'static str> {
    match table {
        "job-file" => vec!["job", "noop", "template"],
        "job-file.job" => JOB_FILE_KEYS.to_vec(),
        "template" => names("job").into_iter().filter(|key| !OWN_KEYS.contains(key)).collect(),
        "job-file.template" => {
            names("job-file.job").into_iter().filter(|key| !OWN_KEYS.contains(key)).collect()
        }
        _ => {
            let children =
                PARENTS.iter().filter(|(name, _)| *name == table).flat_map(|(_, keys)| keys.iter().copied());
            children.chain(KEYS.iter().filter(|doc| doc.table == table).map(|doc| doc.key)).collect()
        }
    }
}

/// Whether `table` has `key`.
pub(super) fn is_known(table: &str, key: &str) -> bool {
    names(table).contains(&key)
}

/// A key as people point to it.
pub(super) fn path(table: &str, key: &str) -> String {
    match table.strip_prefix("job-file").map(|rest| rest.trim_start_matches('.')).unwrap_or(table) {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    }
}

/// How `key` may be written.
pub(super) fn sample(table: &str, key: &str) -> String {
    let table = table.strip_prefix("job-file.").unwrap_or(table);
    let table = if table == "template" { "job" } else { table };
    let example = KEYS.iter().find(|doc| doc.table == table && doc.key == key).map(|doc| doc.example);
    match example {
        Some(example) => format!("{key} = {example}"),
        None if ["queue", "site", "job", "periodic", "on-demand"].contains(&key) => {
            format!("[[{}]]", path(table, key))
        }
        None if key == "template" => "[template.NAME]".to_owned(),
        None if key == "noop" => "noop = true".to_owned(),
        None => format!("[{}]", path(table, key)),
    }
}

/// What to do about the unknown `key` of `table`.
pub(super) fn suggestion(table: &str, key: &str) -> String {
    if table.ends_with("template") && OWN_KEYS.contains(&key) {
        return "each job says that for itself; write it in the `[[job]]`".to_owned();
    }
    if table.starts_with("job-file.") && is_known("job", key) {
        return "only the operator's configuration may say that; remove it".to_owned();
    }
    let known = names(table);
    if closest(key, &known).is_none() {
        let elsewhere =
            TABLES.iter().find(|(other, _, _)| is_known(other, key) && !table.starts_with("job-file"));
        if let Some((_, heading, _)) = elsewhere {
            return format!("it belongs in {heading}");
        }
    }
    did_you_mean(key, &known)
}

/// The word meant by `word`, or all there are.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    match closest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write one of {}", super::section::quoted(known)),
    }
}

fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let nearest = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(nearest) <= nearest.len().div_ceil(3)).then_some(nearest)
}

//! A story as read: what is declared, what people do, and what is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::tips::{Meant, RunClaim};
use crate::model::event::Scope;
use crate::model::{LandingForm, Pair};

/// The name that a story gives to a change or to a push.
pub type Name = Arc<str>;

/// The lines of a block, as they stand in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The line of the file on which it begins.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// A story.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Story {
    /// The first comment, which says what it is about.
    pub title: String,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// Changes in the order in which they are first uploaded: the first has number 1.
    pub changes: Vec<Name>,
}

/// One statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Its line in the file.
    pub line: usize,
    /// As written.
    pub text: String,
    /// What it asks for.
    pub asks: Ask,
}

/// What a statement asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Something is so from now on.
    Declare(Declaration),
    /// Someone does something, or something happens.
    Act(Act),
    /// Time passes.
    Wait(Wait),
    /// Something is so now.
    Expect(Claim),
    /// Something will be so within this time, in milliseconds; time passes until then.
    Within(Claim, i64),
    /// Something is never so from here on (false), or always (true).
    Keeps(Claim, bool),
}

/// How much time passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// So many milliseconds.
    For(i64),
    /// Until so many milliseconds from the beginning.
    At(i64),
    /// Until nothing moves.
    Idle,
}

/// A declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Declaration {
    /// A repository.
    Repository(RepositoryDecl),
    /// The job file with which a repository's branches begin.
    JobFile(String, Block),
    /// A queue.
    Queue(QueueDecl),
    /// A site.
    Site(SiteDecl),
    /// Keys of every queue that the story does not declare itself.
    QueueKeys(BTreeMap<String, String>),
    /// A job.
    Job(JobDecl),
    /// What a job's builds come to.
    Truth(Truth),
    /// How many builds may run at once.
    Slots(u32),
    /// Whether new patch sets are checked.
    Check(bool),
    /// The configuration in the daemon's own language.
    Configuration(Block),
}

/// A repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepositoryDecl {
    /// Its name.
    pub name: String,
    /// Its branches; none where nothing is said of them.
    pub branches: Vec<String>,
    /// Files that it begins with.
    pub files: Vec<String>,
    /// How it lands changes; `None` where nothing is said of it.
    pub form: Option<LandingForm>,
}

/// A queue; the values of its keys are written as in TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueDecl {
    /// Its name.
    pub name: String,
    /// Its repositories; empty for those that are in no other queue.
    pub repositories: Vec<String>,
    /// Further keys.
    pub keys: BTreeMap<String, String>,
}

/// A site; the values of its keys are written as in TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteDecl {
    /// Its name.
    pub name: String,
    /// Its repositories, or patterns of them.
    pub repositories: Vec<String>,
    /// Further keys.
    pub keys: BTreeMap<String, String>,
}

/// A job; the values of its keys are written as in TOML.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JobDecl {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: BTreeMap<String, String>,
    /// How many minutes' worth of a time limit its durations need, in milliseconds.
    pub longest_ms: i64,
    /// What its builds come to.
    pub truths: Vec<Truth>,
}

/// What a build comes to where the conditions hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Truth {
    /// The job; `None` for all.
    pub job: Option<String>,
    /// What.
    pub fate: Fate,
    /// Each of these must be in the tree, in one of the lists; no list holds always.
    pub with: Vec<Vec<Content>>,
    /// None of these may be.
    pub without: Vec<Content>,
    /// Only builds of this repository.
    pub home: Option<String>,
    /// Only so many builds, the first ones.
    pub times: Option<u32>,
    /// Only this attempt, from 1, of the same trees.
    pub attempt: Option<u32>,
}

/// What a build comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It lasts so many milliseconds.
    Takes(i64),
    /// It passes.
    Passes,
    /// It fails: after so many milliseconds, or at its end; known `hint` milliseconds after its start.
    Fails {
        /// It ends so early.
        after: Option<i64>,
        /// Its failure is known so early, though it runs on.
        known: Option<i64>,
    },
    /// It ends without a verdict, after so many milliseconds or at its end.
    Breaks(Option<i64>),
    /// The executor loses it.
    Vanishes,
    /// It never ends by itself: its time limit ends it.
    Hangs,
}

/// The content of a change or a push.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Content {
    /// Whose.
    pub name: Name,
    /// The patch set; `None` for the one that is current where the statement stands.
    pub round: Option<u32>,
    /// Any patch set.
    pub any: bool,
}

/// What someone does, or what happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Uploads changes or patch sets.
    Upload(Vec<Upload>),
    /// Puts a change onto its branch, or onto another change, unchanged.
    Rebase(Name, Option<Name>),
    /// Gives a change another message and the same content.
    Reword(Name, Vec<String>),
    /// Votes; 0 takes back.
    Vote {
        /// On what.
        changes: Vec<Name>,
        /// On which label.
        label: String,
        /// The vote.
        value: i32,
        /// Who; `None` for the usual person.
        by: Option<String>,
    },
    /// Takes back all votes of this sign on the label of review, or those of one person.
    Withdraw {
        /// On what.
        changes: Vec<Name>,
        /// Negative votes, rather than positive ones.
        vetoes: bool,
        /// Whose; `None` for everyone's.
        by: Option<String>,
    },
    /// Alters what a change is beside its content.
    Alter(Vec<Name>, Alteration),
    /// Someone pushes to a branch beside the queue.
    Push(Box<Upload>),
    /// Someone lands a change beside the queue.
    LandByHand(Vec<Name>, String),
    /// Makes or deletes a branch.
    Branch {
        /// Which.
        pair: Pair,
        /// From which one it is made; `None` deletes it.
        from: Option<Pair>,
    },
    /// Weather of the systems around.
    Weather(Weather),
    /// An operator's command.
    Operate(Operation, Option<String>),
    /// Someone writes a comment.
    Comment(Vec<Name>, String, Option<String>),
    /// What happens in the moment before the daemon's next push.
    BeforePush(Box<Act>),
    /// Builds are counted anew.
    CountAnew,
    /// Reads the configuration again, as it stands.
    Reload,
}

/// What is altered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alteration {
    /// Given up, or taken up again.
    Abandoned(bool),
    /// Work in progress, or ready.
    Progress(bool),
    /// Private, or public.
    Private(bool),
    /// A further submit requirement is not met, or met.
    Blocked(bool),
    /// The topic.
    Topic(Option<String>),
    /// A hashtag is there, or gone.
    Hashtag(String, bool),
    /// Another branch.
    Moved(String),
}

/// What happens to the daemon and the systems around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Weather {
    /// The daemon dies.
    Die,
    /// The daemon starts.
    Start,
    /// The daemon's git store is lost, with all that was merged in it.
    Wipe,
    /// The daemon stands still for so long.
    Freeze(i64),
    /// Gerrit does not answer, for so long or until it is back.
    Away(Option<i64>),
    /// Gerrit answers again.
    Back,
    /// Gerrit's news do not arrive, for so long or until they do.
    Deaf(Option<i64>),
    /// Gerrit's news arrive again.
    Hearing,
    /// Whether Gerrit submits whole topics.
    WholeTopics(bool),
    /// The executor can build nothing, and why.
    Unable(String),
    /// The executor can build again.
    Able,
    /// What becomes of the next push.
    NextPush(PushFate),
    /// How many of the next builds cannot be started.
    StartsFail(u32),
}

/// What becomes of a push.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PushFate {
    /// The line breaks before it is sent.
    Fails,
    /// Gerrit says no.
    Refused(String),
    /// It lands, and the answer is lost.
    AnswerLost,
    /// It is lost, and so is the answer.
    Lost,
    /// The answer is lost, and it lands so much later.
    Late(i64),
}

/// An operator's command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Puts a change in.
    Enqueue(Vec<Name>),
    /// Takes a change out.
    Dequeue(Vec<Name>, String),
    /// Moves changes to the head.
    Promote(Vec<Name>),
    /// Asks for another check, or for this pipeline.
    Recheck(Vec<Name>, Option<String>),
    /// Stops landing.
    Pause(Scope, String),
    /// Lets it go on.
    Resume(Scope, String),
}

/// A patch set, or a push.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upload {
    /// Its name; `None` for a push that needs none.
    pub name: Option<Name>,
    /// Where it is to land; `None` for where it is already, or the first repository's first branch.
    pub pair: Option<Pair>,
    /// Who.
    pub by: Option<String>,
    /// The change that it rests on, at this patch set or the current one.
    pub on: Option<(Name, Option<u32>)>,
    /// Files that it edits; one of its own when nothing is said of files.
    pub edits: Vec<String>,
    /// Files that it deletes.
    pub deletes: Vec<String>,
    /// Files that it writes anew.
    pub writes: Vec<(String, String)>,
    /// Jobs that it adds to the job file.
    pub adds_jobs: Vec<String>,
    /// It makes the job file one that cannot be read.
    pub breaks_jobs: bool,
    /// The change or push whose edits it takes back.
    pub reverts: Option<Name>,
    /// A branch of the same repository that it merges.
    pub merges: Option<String>,
    /// Changes that it names in `Depends-On`.
    pub depends_on: Vec<Name>,
    /// The lines of its message.
    pub message: Vec<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its hashtags.
    pub hashtags: BTreeSet<String>,
    /// Work in progress.
    pub progress: bool,
    /// Private.
    pub private: bool,
    /// Its message has no Change-Id.
    pub footerless: bool,
}

impl Upload {
    /// Whether it says nothing of files.
    pub fn is_silent(&self) -> bool {
        self.edits.is_empty()
            && self.deletes.is_empty()
            && self.writes.is_empty()
            && self.adds_jobs.is_empty()
            && !self.breaks_jobs
            && self.reverts.is_none()
    }
}

/// How a number is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// So many.
    Exactly(u32),
    /// So many or fewer.
    AtMost(u32),
    /// So many or more.
    AtLeast(u32),
}

/// Changes that stand together: a tree, or an item.
pub type Together = BTreeSet<Name>;

/// Something that can be so or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Builds (of a job) run on exactly these trees.
    Building(Option<String>, Vec<Together>),
    /// Among others, a build (of a job) runs on this tree, or none does.
    BuildingAmong(Option<String>, Together, bool),
    /// A change has a running build (of a job), or none.
    InBuild(Name, Option<String>, bool),
    /// So many builds run.
    Running(Amount),
    /// A queue, or all together, has these items in this order.
    Queue(Option<String>, Vec<Together>),
    /// These changes are in a queue, or none of them is.
    Queued(Vec<Name>, bool),
    /// The place of a change in its queue, from 1.
    Place(Name, u32),
    /// These changes have landed, in this order, and no other.
    Landed(Vec<Name>),
    /// These changes have landed, or none of them has.
    HasLanded(Vec<Name>, bool),
    /// These changes have landed in this order, among others.
    InOrder(Vec<Name>),
    /// These changes have landed in one push.
    OnePush(Vec<Name>),
    /// So many pushes of the daemon have landed.
    Pushes(Amount),
    /// A change has left without landing, for this reason, or has not.
    Left(Name, Option<String>, bool),
    /// This was said on a change, or to a person, or was not.
    Told(Whom, Vec<String>, bool),
    /// So many messages were written on a change.
    Messages(Amount, Name),
    /// The daemon's vote on a change; `None` for none.
    Vote(Name, Option<(String, i32)>),
    /// A change waits for this, or does not.
    Waits(Name, Vec<String>, bool),
    /// So many builds were started: of a job, on a tree, with changes in it; since they were last counted.
    Builds {
        /// How many.
        amount: Amount,
        /// Of which job.
        job: Option<String>,
        /// On exactly this tree.
        on: Option<Together>,
        /// With these in the tree.
        with: Together,
        /// Only those since builds were last counted.
        anew: bool,
        /// Only those that were stopped before they ended.
        stopped: bool,
    },
    /// A change uses a verdict (of a job) that was not built for it, or does not.
    Reused(Name, Option<String>, bool),
    /// A job (or some job) of a change is not built, for what it needs has failed or what it is for is not
    /// changed; or is.
    Skipped(Name, Option<String>, bool),
    /// A job is proven to be flaky, or is not.
    Flaky(String, bool),
    /// Where a change stands in Gerrit: open or abandoned.
    Status(Name, Standing, bool),
    /// The last operator's command was done, or refused; and what the answer says.
    Answer(Option<bool>, Vec<String>),
    /// Something is so of the last run at a tip, or is not.
    Run(Meant, RunClaim, bool),
    /// So many runs have begun.
    Runs(Amount, Meant),
    /// The daemon's log has a line with these texts, or has none.
    Logged(Vec<String>, bool),
    /// The history of a change's last stay has an entry with these texts, or has none.
    History(Name, Vec<String>, bool),
    /// Nothing is queued, checked or built.
    Idle,
}

/// Where a change stands in Gerrit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is open.
    Open,
    /// It is abandoned.
    Abandoned,
}

/// To whom something is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// On a change.
    On(Name),
    /// On any change of this owner.
    Owner(String),
    /// On any change.
    Anyone,
}

//! What people do, and what happens to the systems around them.

use super::reader::Reader;
use super::story::{Act, Alteration, Name, Operation, PushFate, Weather};
use super::words::Read;
use crate::model::event::Scope;

/// The label of review.
const REVIEW: &str = "Code-Review";

/// Each verb that begins a deed, in the forms that people write.
pub const DEEDS: &[&str] = &[
    "upload",
    "stack",
    "push",
    "rebase",
    "reword",
    "approve",
    "vote",
    "veto",
    "withdraw",
    "unapprove",
    "remove",
    "lift",
    "abandon",
    "restore",
    "mark",
    "make",
    "block",
    "unblock",
    "set",
    "tag",
    "untag",
    "add",
    "move",
    "land",
    "submit",
    "force-merge",
    "merge",
    "create",
    "delete",
    "kill",
    "stop",
    "start",
    "restart",
    "freeze",
    "enqueue",
    "dequeue",
    "promote",
    "recheck",
    "pause",
    "resume",
    "reload",
    "count",
    "take",
    "re-approve",
    "reapprove",
    "crash",
    "wipe",
    "comment",
];

impl Reader<'_> {
    /// A deed that begins with `verb`, which was taken; `None` for a verb that is none.
    pub fn deed(&mut self, verb: &str) -> Read<Option<Act>> {
        let act = match verb {
            "upload" | "stack" => self.upload(verb == "stack")?,
            "push" => self.push()?,
            "rebase" => self.rebase()?,
            "reword" => self.reword()?,
            "approve" | "re-approve" | "reapprove" => self.approve()?,
            "vote" => self.vote()?,
            "veto" => {
                let changes = self.changes()?;
                Act::Vote { changes, label: REVIEW.into(), value: -2, by: None }
            }
            "withdraw" | "unapprove" | "remove" | "lift" | "take" => self.withdraw(verb)?,
            "enqueue" | "dequeue" | "promote" | "recheck" | "pause" | "resume" => {
                return self.operate(verb).map(Some);
            }
            "land" | "submit" | "force-merge" | "merge" => self.land_by_hand()?,
            "comment" => self.comment()?,
            "create" | "delete" => self.branch(verb == "create")?,
            "reload" => {
                self.line.skip(&["the", "configuration"]);
                Act::Reload
            }
            "count" => {
                self.line.phrase(&["builds from here", "builds anew", "from here", "builds"]);
                Act::CountAnew
            }
            "kill" | "stop" | "start" | "restart" | "freeze" | "crash" => self.daemon(verb)?,
            "wipe" => self.wipe()?,
            _ => match self.alter(verb)? {
                Some(act) => act,
                None => return Ok(None),
            },
        };
        self.person()?;
        Ok(Some(act))
    }

    fn rebase(&mut self) -> Read<Act> {
        let change = self.change()?;
        let onto = self.line.phrase(&["onto", "on top of", "on", "to"]);
        self.line.skip(&["the"]);
        let branch = self.line.eat(&["branch", "tip", "main", "current"]);
        if branch {
            self.line.skip(&["tip", "branch", "of", "main"]);
        }
        let onto = if onto && !branch { Some(self.change()?) } else { None };
        Ok(Act::Rebase(change, onto))
    }

    fn reword(&mut self) -> Read<Act> {
        let change = self.change()?;
        self.line.phrase(&["with message", "with the message", "to", "as", "with"]);
        let mut lines = Vec::new();
        if let Some(word) = self.line.peek().filter(|word| word.quoted).cloned() {
            self.line.next();
            lines.push(word.text);
        }
        if let Some(block) = self.block.take() {
            lines.extend(block.text.lines().map(str::to_owned));
        }
        Ok(Act::Reword(change, lines))
    }

    fn approve(&mut self) -> Read<Act> {
        let changes = self.changes()?;
        self.line.eat(&["again", "anew"]);
        Ok(Act::Vote { changes, label: REVIEW.into(), value: 2, by: None })
    }

    /// `vote [LABEL] +2 on A`.
    fn vote(&mut self) -> Read<Act> {
        let (label, value) = self.label_and_value()?;
        self.line.skip(&["on", "for"]);
        let changes = self.changes()?;
        Ok(Act::Vote { changes, label, value, by: None })
    }

    /// `Code-Review +2`, `Verified-1`, `+2`.
    pub fn label_and_value(&mut self) -> Read<(String, i32)> {
        const SAMPLE: &str = "write for example `vote Code-Review -1 on A by carol`";
        let word = self.line.need("the vote", "vote +2 on A")?;
        if let Ok(value) = word.text.parse() {
            return Ok((REVIEW.into(), value));
        }
        let split = word.text.rfind(['+', '-']).map(|at| word.text.split_at(at));
        if let Some((label, Ok(value))) = split.map(|(label, value)| (label, value.parse::<i32>())) {
            return Ok((canonical(label), value));
        }
        match self.line.next().map(|word| word.text.parse::<i32>()) {
            Some(Ok(value)) => Ok((canonical(&word.text), value)),
            _ => self.line.fault_at(&word.text, "is followed by no vote", SAMPLE),
        }
    }

    fn withdraw(&mut self, verb: &str) -> Read<Act> {
        self.line.skip(&["back", "the", "all", "its", "their"]);
        let vetoes = verb == "lift" && !self.line.is(&["approval", "vote"])
            || self.line.is(&["veto", "vetoes", "objection"]);
        let hashtag = self.line.phrase(&["hashtag", "tag"]);
        if hashtag {
            let tag = self.line.need("the hashtag", "remove hashtag urgent from A")?.text;
            self.line.eat(&["from", "of"]);
            return Ok(Act::Alter(self.changes()?, Alteration::Hashtag(tag, false)));
        }
        if self.line.eat(&["topic"]) {
            self.line.skip(&["from", "of"]);
            return Ok(Act::Alter(self.changes()?, Alteration::Topic(None)));
        }
        self.line.skip(&["approval", "approvals", "vote", "votes", "veto", "vetoes", "objection", "back"]);
        let mut by = None;
        if self.line.eat(&["of", "on", "from"]) && self.maybe_change().is_none() {
            by = Some(self.line.need("a name", "withdraw the vote of carol on A")?.text);
            self.line.skip(&["on", "of", "from"]);
        } else if let Some(name) = self.line.last().and_then(|word| self.known.change(&word.text)) {
            let mut changes = vec![name];
            while self.line.last().is_some_and(|word| word.comma) || self.line.eat(&["and"]) {
                changes.push(self.change()?);
            }
            return Ok(Act::Withdraw { changes, vetoes, by });
        }
        let changes = self.changes()?;
        self.line.skip(&["back"]);
        Ok(Act::Withdraw { changes, vetoes, by })
    }

    fn land_by_hand(&mut self) -> Read<Act> {
        let changes = self.changes()?;
        self.line.phrase(&["by hand", "directly", "in gerrit", "outside the queue", "beside the queue"]);
        self.person()?;
        Ok(Act::LandByHand(changes, self.by.take().unwrap_or_else(|| "admin".into())))
    }

    /// `comment "TEXT" on A`.
    fn comment(&mut self) -> Read<Act> {
        let text = self.line.need("the text", "comment \"check perf\" on A")?.text;
        self.line.skip(&["on", "to"]);
        let changes = self.changes()?;
        self.person()?;
        Ok(Act::Comment(changes, text, self.by.take()))
    }

    fn branch(&mut self, create: bool) -> Read<Act> {
        self.line.skip(&["the"]);
        let pair = if self.line.is(&["branch"])
            && self.line.peek_at(2).is_some_and(|word| word.small == "of" || word.small == "in")
        {
            self.pair()?
        } else {
            self.line.eat(&["branch"]);
            let branch = self.line.need("the branch", "create branch stable of app")?.text;
            self.line.skip(&["of", "in", "on"]);
            crate::model::Pair::new(self.repository()?, branch)
        };
        let mut from = None;
        if create {
            let source = if self.line.eat(&["from"]) { self.line.next().map(|word| word.text) } else { None };
            let source = source.unwrap_or_else(|| "main".into());
            from = Some(crate::model::Pair::new(pair.repository.clone(), source));
        }
        Ok(Act::Branch { pair, from })
    }

    /// What is altered about changes beside their content; `None` for another verb.
    fn alter(&mut self, verb: &str) -> Read<Option<Act>> {
        let (changes, alteration) = match verb {
            "abandon" | "restore" => (self.changes()?, Alteration::Abandoned(verb == "abandon")),
            "block" | "unblock" => (self.changes()?, Alteration::Blocked(verb == "block")),
            "mark" | "make" => {
                let changes = self.changes()?;
                self.line.skip(&["as", "for", "not"]);
                (changes, self.mark()?)
            }
            "set" => {
                self.line.skip(&["the"]);
                self.line.eat(&["topic"]);
                self.line.skip(&["of", "on"]);
                let changes = self.changes()?;
                self.line.skip(&["topic", "to", "the"]);
                let topic = self.line.need("the topic", "set topic of A to fast")?.text;
                (changes, Alteration::Topic(Some(topic)))
            }
            "tag" | "untag" => {
                let changes = self.changes()?;
                self.line.skip(&["as", "with", "hashtag"]);
                let tag = self.line.need("the hashtag", "tag A urgent")?.text;
                (changes, Alteration::Hashtag(tag, verb == "tag"))
            }
            "add" => {
                self.line.skip(&["the", "hashtag", "tag"]);
                let tag = self.line.need("the hashtag", "add hashtag urgent to A")?.text;
                self.line.eat(&["to"]);
                (self.changes()?, Alteration::Hashtag(tag, true))
            }
            "move" => {
                let changes = self.changes()?;
                self.line.skip(&["to", "branch", "the"]);
                (changes, Alteration::Moved(self.line.need("the branch", "move A to stable")?.text))
            }
            _ => return Ok(None),
        };
        Ok(Some(Act::Alter(changes, alteration)))
    }

    /// What a change is marked as.
    pub fn mark(&mut self) -> Read<Alteration> {
        if self.line.phrase(&["work in progress", "wip", "work-in-progress", "in progress"]) {
            Ok(Alteration::Progress(true))
        } else if self.line.phrase(&["ready for review", "ready"]) {
            Ok(Alteration::Progress(false))
        } else if self.line.eat(&["private"]) {
            Ok(Alteration::Private(true))
        } else if self.line.eat(&["public"]) {
            Ok(Alteration::Private(false))
        } else if self.line.eat(&["blocked"]) {
            Ok(Alteration::Blocked(true))
        } else if self.line.eat(&["unblocked"]) {
            Ok(Alteration::Blocked(false))
        } else {
            self.fault(
                "is nothing that a change can be marked as",
                "write `work in progress`, `ready`, `private` or `public`",
            )
        }
    }

    fn daemon(&mut self, verb: &str) -> Read<Act> {
        self.line.skip(&["the", "daemon", "seakeeper"]);
        let weather = match verb {
            "freeze" => {
                self.line.eat(&["for"]);
                match self.line.duration() {
                    Some(ms) => Weather::Freeze(ms),
                    None => {
                        return self.fault("is no duration", "write for example `freeze the daemon for 10m`");
                    }
                }
            }
            "start" => Weather::Start,
            "restart" => return Ok(Act::Weather(Weather::Start)),
            _ => Weather::Die,
        };
        Ok(Act::Weather(weather))
    }

    fn wipe(&mut self) -> Read<Act> {
        if self.line.phrase(&["the git store", "the store", "its git store"]) {
            return Ok(Act::Weather(Weather::Wipe));
        }
        self.fault("is nothing that can be wiped", "write `wipe the git store`")
    }

    fn operate(&mut self, verb: &str) -> Read<Act> {
        let reason = |reader: &mut Self| {
            reader.line.skip(&["because", "reason"]);
            if reader.line.is_over() { "an operator says so".to_owned() } else { reader.line.take_rest() }
        };
        let operation = match verb {
            "enqueue" | "promote" | "recheck" | "dequeue" => {
                let changes = self.changes()?;
                let pipeline = if self.line.eat(&["in", "with"]) { self.pipelines()?.pop() } else { None };
                self.line.phrase(&["to the head", "to the front", "first"]);
                self.person()?;
                match verb {
                    "enqueue" => Operation::Enqueue(changes),
                    "promote" => Operation::Promote(changes),
                    "recheck" => Operation::Recheck(changes, pipeline),
                    _ => Operation::Dequeue(changes, reason(self)),
                }
            }
            _ => {
                let scope = self.scope()?;
                self.person()?;
                let why = reason(self);
                if verb == "pause" { Operation::Pause(scope, why) } else { Operation::Resume(scope, why) }
            }
        };
        self.person()?;
        Ok(Act::Operate(operation, self.by.take()))
    }

    fn scope(&mut self) -> Read<Scope> {
        self.line.skip(&["landing", "in", "the"]);
        if self.line.is_over()
            || self.line.is(&["because", "by"])
            || self.line.eat(&["everything", "everywhere", "all"])
        {
            return Ok(Scope::Everything);
        }
        let queue = self.line.eat(&["queue"]);
        let word = self.line.peek().map(|word| word.text.clone()).unwrap_or_default();
        let repository = self.known.repositories.contains(&word);
        if queue || !repository && (self.known.queues.contains(&word) || word == "main") {
            self.line.next();
            return Ok(Scope::Queue(word.into()));
        }
        Ok(Scope::Repository(self.repository()?.into()))
    }

    /// What becomes of the next push, after `the next push`.
    pub fn next_push(&mut self) -> Read<Act> {
        self.line.skip(&["is", "gets", "its"]);
        let fate = if self.line.eat(&["fails", "fail", "breaks"]) {
            PushFate::Fails
        } else if self.line.eat(&["refused", "rejected"]) {
            self.line.skip(&["because", "with", "by", "gerrit"]);
            PushFate::Refused(if self.line.is_over() {
                "not permitted".into()
            } else {
                self.line.take_rest()
            })
        } else if self.line.phrase(&["lost", "never arrives"]) {
            PushFate::Lost
        } else if self.line.phrase(&[
            "lands late after",
            "lands only after",
            "lands late, after",
            "arrives late after",
            "lands after",
        ]) {
            match self.line.duration() {
                Some(ms) => PushFate::Late(ms),
                None => {
                    return self
                        .fault("is no duration", "write for example `the next push lands late after 1m`");
                }
            }
        } else if self.line.phrase(&[
            "no answer",
            "lands without an answer",
            "lands unanswered",
            "unanswered",
            "lands and its answer is lost",
        ]) {
            PushFate::AnswerLost
        } else {
            return self.fault(
                "is nothing that becomes of a push",
                "write `fails`, `is refused`, `is lost`, `gets no answer` or `lands late after 1m`",
            );
        };
        Ok(Act::Weather(Weather::NextPush(fate)))
    }

    /// The name of the only change that is meant, as where a sentence has one subject.
    pub fn one(&self, mut names: Vec<Name>) -> Read<Name> {
        match (names.pop(), names.is_empty()) {
            (Some(name), true) => Ok(name),
            _ => self.fault("this can be said of one change only", "write one line for each change"),
        }
    }
}

/// The label as Gerrit spells it.
fn canonical(label: &str) -> String {
    let known = [REVIEW, "Verified"];
    let found = known.iter().find(|name| name.eq_ignore_ascii_case(label.trim_end_matches(['=', ' '])));
    found.map_or_else(|| label.to_owned(), |name| (*name).to_owned())
}

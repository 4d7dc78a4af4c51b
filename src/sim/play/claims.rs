//! Sentences that can be so or not: what `expect`, `never`, `always` and `wait until` are followed by.

use super::reader::Reader;
use super::story::{Amount, Claim, Name, Standing, Together, Whom};
use super::words::Read;

/// What can be expected, for complaints.
const SAMPLES: &str = "write for example `expect building A, A+B`, `expect queue: A, B`, `expect landed: A, B`, `expect B left because unit failed`, `expect A was told \"Build failed\"`, `expect A waits for \"approval\"`, `expect 3 builds`, `expect unit reused for A`";

impl Reader<'_> {
    /// One claim, to the end of the line.
    pub fn claim(&mut self) -> Read<Claim> {
        self.line.skip(&["that", "to", "see", "there", "are"]);
        let claim = self.any_claim()?;
        self.line.phrase(&["now", "in total", "altogether", "so far", "at this point", "overall"]);
        Ok(claim)
    }

    fn any_claim(&mut self) -> Read<Claim> {
        if let Some(claim) = self.claim_of_nothing()? {
            return Ok(claim);
        }
        if let Some(amount) = self.amount()? {
            return self.claim_of_amount(amount);
        }
        if self.line.eat(&["building", "running"]) {
            self.line.skip(&["now", "on", "exactly", "only"]);
            return Ok(Claim::Building(None, self.trees()?));
        }
        if self.line.eat(&["landed", "merged"]) {
            self.line.skip(&["exactly", "only", "in", "order"]);
            return Ok(Claim::Landed(self.maybe_changes()?));
        }
        if self.line.eat(&["only"]) {
            let names = self.changes()?;
            self.line.skip(&["has", "have", "been"]);
            self.line.eat(&["landed", "merged"]);
            return Ok(Claim::Landed(names));
        }
        if self.line.phrase(&["idle", "everything is idle", "the daemon is idle", "all is quiet"]) {
            return Ok(Claim::Idle);
        }
        if self.line.eat(&["queued"]) {
            self.line.skip(&["now", "exactly", "only", "in"]);
            return Ok(Claim::Queue(None, self.trees()?));
        }
        if let Some(claim) = self.claim_of_queue()? {
            return Ok(claim);
        }
        if let Some(claim) = self.claim_of_run()? {
            return Ok(claim);
        }
        if let Some(claim) = self.claim_of_words()? {
            return Ok(claim);
        }
        if let Some(claim) = self.claim_of_job()? {
            return Ok(claim);
        }
        if self.maybe_content_ahead() {
            let names = self.changes()?;
            return self.claim_of_changes(names);
        }
        let person = self.line.peek().is_some_and(|word| self.known.people.contains(&word.text))
            && self
                .line
                .peek_at(1)
                .is_some_and(|word| ["was", "is", "hears", "heard"].contains(&&*word.small));
        if person {
            let name = self.line.next().map(|word| word.text).unwrap_or_default();
            let not = self.said_verb();
            return Ok(Claim::Told(Whom::Owner(name), self.texts()?, !not));
        }
        self.fault("begins no expectation", SAMPLES)
    }

    fn maybe_changes(&mut self) -> Read<Vec<Name>> {
        if self.line.is_over() || self.line.eat(&["nothing", "none"]) {
            Ok(Vec::new())
        } else {
            self.changes()
        }
    }

    pub(super) fn maybe_content_ahead(&self) -> bool {
        let mut ahead = 0;
        while self
            .line
            .peek_at(ahead)
            .is_some_and(|word| word.text != "A" && super::reader::ARTICLES.contains(&&*word.small))
        {
            ahead += 1;
        }
        let next = self.line.peek_at(ahead);
        next.is_some_and(|word| !word.quoted && self.known.change(&word.text).is_some())
    }

    /// `nothing is building`, `no builds`, …
    fn claim_of_nothing(&mut self) -> Read<Option<Claim>> {
        if !self.line.eat(&["nothing", "nobody"]) {
            return Ok(None);
        }
        self.line.skip(&["is", "was", "has", "been", "more", "else", "to"]);
        let none = Amount::Exactly(0);
        let claim = if self.line.eat(&["building", "running", "builds", "runs", "built"]) {
            Claim::Building(None, Vec::new())
        } else if self.line.eat(&["landed", "merged"]) {
            Claim::Landed(Vec::new())
        } else if self.line.eat(&["queued", "in"]) {
            self.line.skip(&["the", "any", "queue"]);
            Claim::Queue(None, Vec::new())
        } else if self.line.eat(&["stopped", "aborted"]) {
            Claim::Builds {
                amount: none,
                job: None,
                on: None,
                with: Together::new(),
                anew: false,
                stopped: true,
            }
        } else if self.line.eat(&["moves", "happens"]) {
            Claim::Idle
        } else if self.line.is(&["told", "said", "posted"]) {
            self.line.next();
            let whom = if self.line.eat(&["on", "to"]) { Whom::On(self.change()?) } else { Whom::Anyone };
            return Ok(Some(match whom {
                Whom::On(name) => Claim::Messages(none, name),
                _ => Claim::Told(Whom::Anyone, self.texts().unwrap_or_default(), false),
            }));
        } else {
            return self
                .fault("is nothing that can fail to be", "write for example `expect nothing is building`");
        };
        Ok(Some(claim))
    }

    /// `3`, `no`, `at most 3`, `exactly 3`, `more than 3`; only where something countable follows.
    pub(super) fn amount(&mut self) -> Read<Option<Amount>> {
        let before = self.line.clone();
        let most = self.line.phrase(&["at most", "no more than", "not more than", "up to"]);
        let least = !most && self.line.phrase(&["at least"]);
        let more = !most && !least && self.line.phrase(&["more than"]);
        let fewer = !most && !least && !more && self.line.phrase(&["fewer than", "less than"]);
        self.line.skip(&["exactly", "only"]);
        match self.line.count() {
            Some(n) if most => Ok(Some(Amount::AtMost(n))),
            Some(n) if least => Ok(Some(Amount::AtLeast(n))),
            Some(n) if more => Ok(Some(Amount::AtLeast(n + 1))),
            Some(n) if fewer => Ok(Some(Amount::AtMost(n.saturating_sub(1)))),
            Some(n) => Ok(Some(Amount::Exactly(n))),
            None if most || least || more || fewer => {
                self.fault("is no number", "write for example `at most 3 builds`")
            }
            None => {
                self.line = before;
                Ok(None)
            }
        }
    }

    pub(super) fn claim_of_amount(&mut self, amount: Amount) -> Read<Claim> {
        if let Some(meant) = self.maybe_runs()? {
            return Ok(Claim::Runs(amount, meant));
        }
        let mut anew = self.line.eat(&["more", "new", "further", "additional", "other"]);
        if self.line.phrase(&["vote on", "votes on", "verified vote on", "vote of the daemon on"]) {
            return Ok(Claim::Vote(self.change()?, None));
        }
        if self.line.eat(&["message", "messages", "comment", "comments"]) {
            self.line.skip(&["is", "are", "was", "were", "on", "to", "posted", "about"]);
            return Ok(Claim::Messages(amount, self.change()?));
        }
        if self.line.eat(&["push", "pushes", "landing", "landings"]) {
            self.line.skip(&["was", "were", "made"]);
            return Ok(Claim::Pushes(amount));
        }
        // A job may be called `build`, too.
        let before = if self.line.is(&["build", "builds"]) { None } else { self.maybe_job() };
        if !self.line.eat(&["build", "builds"]) && before.is_none() {
            return self.fault(
                "cannot be counted",
                "write for example `expect 3 builds of unit`, `expect 2 messages on A` or `expect 1 push`",
            );
        }
        let (mut job, mut on, mut with, mut stopped) = (before, None, Together::new(), false);
        while !self.line.is_over() {
            if self.line.eat(&["running", "run"]) && job.is_none() && on.is_none() {
                self.line.phrase(&["at once", "now", "at a time"]);
                return Ok(Claim::Running(amount));
            } else if self.line.phrase(&["at once", "at a time"]) {
                return Ok(Claim::Running(amount));
            } else if self.line.eat(&["stopped", "aborted", "cancelled", "canceled"]) {
                stopped = true;
            } else if self.line.phrase(&["since then", "since", "anew"]) {
                anew = true;
            } else if self.line.eat(&[
                "were", "was", "are", "is", "started", "ran", "have", "has", "been", "in", "total", "so",
                "far",
            ]) {
            } else if self.line.phrase(&["with", "containing", "that contain", "that contains"]) {
                with.extend(self.tree()?);
            } else if self.line.eat(&["of", "on", "for"]) {
                match self.maybe_job() {
                    Some(found) => job = Some(found),
                    None if self.line.last().is_some_and(|word| word.small == "for") => {
                        with.extend(self.tree()?)
                    }
                    None => on = Some(self.tree()?),
                }
            } else if let (Some(found), true) = (self.maybe_job(), job.is_none()) {
                job = Some(found);
            } else {
                return self.fault(
                    "does not say which builds",
                    "write for example `expect 2 builds of unit on A+B` or `expect 2 builds with A`",
                );
            }
        }
        Ok(Claim::Builds { amount, job, on, with, anew, stopped })
    }

    fn claim_of_queue(&mut self) -> Read<Option<Claim>> {
        let before = self.line.clone();
        self.line.eat(&["the"]);
        if !self.line.eat(&["queue", "queues"]) {
            self.line = before;
            return Ok(None);
        }
        let colon = self.line.last().is_some_and(|word| word.colon);
        let mut name = None;
        let next = self.line.peek().map(|word| word.text.clone()).unwrap_or_default();
        if !colon && (self.known.queues.contains(&next) || next == "main") {
            self.line.next();
            name = Some(next);
        }
        self.line.skip(&["is", "are", "has", "holds", "contains", "now", "in", "order"]);
        Ok(Some(Claim::Queue(name, self.trees()?)))
    }

    /// `message on A "…"`, `Verified +1 on A`, `command was refused`.
    fn claim_of_words(&mut self) -> Read<Option<Claim>> {
        if self.line.phrase(&["a message", "message", "the message", "comment", "a comment", "messages"]) {
            self.line.skip(&["on", "to", "for"]);
            let name = self.change()?;
            self.line.skip(&["says", "saying", "that", "contains", "containing", "with", "say", "contain"]);
            return Ok(Some(Claim::Told(Whom::On(name), self.texts()?, true)));
        }
        if self.line.phrase(&["the log", "log"]) {
            self.line.skip(&["does"]);
            let so = !self.line.eat(&["not"]);
            self.line.skip(&["says", "say", "tells", "tell", "has", "contains", "contain"]);
            return Ok(Some(Claim::Logged(self.texts()?, so)));
        }
        if self.line.phrase(&["the history of", "history of"]) {
            let name = self.change()?;
            self.line.skip(&["does"]);
            let so = !self.line.eat(&["not"]);
            self.line.skip(&["says", "say", "tells", "tell", "has", "contains", "contain"]);
            return Ok(Some(Claim::History(name, self.texts()?, so)));
        }
        if self.line.phrase(&["the command", "command", "the answer", "answer", "the operator"]) {
            return self.answer().map(Some);
        }
        if self.line.phrase(&["refused", "it is refused"]) {
            return Ok(Some(Claim::Answer(Some(false), self.texts().unwrap_or_default())));
        }
        let before = self.line.clone();
        self.line.skip(&["a", "the", "vote", "of"]);
        let label = self
            .line
            .peek()
            .is_some_and(|word| word.small.starts_with("verified") || word.small.starts_with("code-review"));
        if label {
            let vote = self.label_and_value()?;
            self.line.skip(&["on", "for"]);
            return Ok(Some(Claim::Vote(self.change()?, Some(vote))));
        }
        self.line = before;
        Ok(None)
    }

    fn answer(&mut self) -> Read<Claim> {
        self.line.skip(&["is", "was", "hears", "has", "been"]);
        if self.line.eat(&["refused", "rejected", "not"]) {
            self.line.eat(&["accepted"]);
            Ok(Claim::Answer(Some(false), self.texts().unwrap_or_default()))
        } else if self.line.eat(&["accepted", "done"]) {
            Ok(Claim::Answer(Some(true), self.texts().unwrap_or_default()))
        } else {
            self.line.skip(&["says", "contains", "told"]);
            Ok(Claim::Answer(None, self.texts()?))
        }
    }

    fn said_verb(&mut self) -> bool {
        self.line.skip(&["was", "were", "is", "has", "been"]);
        let not = self.line.eat(&["not", "never"]);
        self.line.skip(&["told", "hears", "heard", "hear", "been", "that"]);
        not
    }

    fn claim_of_changes(&mut self, names: Vec<Name>) -> Read<Claim> {
        let not = self.line.clone();
        self.line.skip(&[
            "has", "have", "is", "are", "was", "were", "did", "does", "do", "been", "still", "will", "be",
            "both", "all",
        ]);
        let negated = self.line.eat(&["not", "never"]);
        self.line.skip(&["been", "be", "yet"]);
        if self.line.eat(&["landed", "lands", "land", "merged", "merge"]) {
            return self.claim_of_landing(names, !negated);
        }
        if self.line.eat(&["queued", "enqueued"])
            || self.line.phrase(&["in the queue", "in queue", "in a queue", "in the gate"])
        {
            return Ok(Claim::Queued(names, !negated));
        }
        if self.line.eat(&["open", "abandoned"]) {
            let abandoned = self.line.last().is_some_and(|word| word.small == "abandoned");
            let standing = if abandoned { Standing::Abandoned } else { Standing::Open };
            return Ok(Claim::Status(self.one(names)?, standing, !negated));
        }
        if self.line.eat(&["left", "leaves", "leave", "failed", "out", "gone"]) {
            let failed = self.line.last().is_some_and(|word| word.small == "failed");
            let name = self.one(names)?;
            self.line.phrase(&["the queue", "of the queue", "the gate"]);
            self.line.skip(&["because", "with", "since", "as"]);
            let said = if self.line.is_over() { None } else { Some(self.line.take_rest()) };
            let why = if failed {
                Some(said.map_or_else(|| "failed".to_owned(), |said| format!("{said} failed")))
            } else {
                said
            };
            return Ok(Claim::Left(name, why, !negated));
        }
        if self.line.eat(&["told", "hears", "heard", "hear"]) {
            let texts = self.texts()?;
            return Ok(Claim::Told(Whom::On(self.one(names)?), texts, !negated));
        }
        if self.line.eat(&["waits", "waiting", "wait"]) {
            self.line.skip(&["because", "for", "with", "until", "of", "its", "reason"]);
            let name = self.one(names)?;
            let texts = if self.line.is_over() { Vec::new() } else { self.texts()? };
            return Ok(Claim::Waits(name, texts, !negated));
        }
        if self.line.eat(&["first", "second", "third", "number"])
            || self.line.phrase(&["at the head", "the head"])
        {
            return self.claim_of_place(names);
        }
        if let Some(claim) = self.claim_of_work(&names, negated)? {
            return Ok(claim);
        }
        self.line = not;
        self.fault("is nothing that can be said of a change", "write for example `A has landed`, `A left because unit failed`, `A is queued`, `A waits for \"a vote\"`, `A was told \"…\"`, `A reused unit`, `A has Verified +1`")
    }

    /// What is built for a change, and how it is voted on.
    fn claim_of_work(&mut self, names: &[Name], negated: bool) -> Read<Option<Claim>> {
        let names = names.to_vec();
        if self.line.eat(&["reused", "reuses", "reuse", "uses"]) {
            self.line.skip(&["the", "a", "verdict", "verdicts", "of"]);
            let job = self.maybe_job();
            return Ok(Some(Claim::Reused(self.one(names)?, job, !negated)));
        }
        if self.line.eat(&["skipped", "skips", "skip"]) {
            let job = self.maybe_job();
            return Ok(Some(Claim::Skipped(self.one(names)?, job, !negated)));
        }
        if self.line.eat(&["building", "built", "build", "builds", "running", "runs"]) {
            let job = self.maybe_job();
            if self.line.eat(&["on"]) {
                let mut tree = self.tree()?;
                tree.extend(names);
                return Ok(Some(Claim::BuildingAmong(job, tree, !negated)));
            }
            return Ok(Some(Claim::InBuild(self.one(names)?, job, !negated)));
        }
        if self.line.phrase(&["no vote", "no verified vote", "without a vote", "no verified"]) {
            return Ok(Some(Claim::Vote(self.one(names)?, None)));
        }
        let voted = self
            .line
            .peek()
            .is_some_and(|word| word.small.starts_with("verified") || word.small.starts_with("code-review"));
        if voted {
            let vote = self.label_and_value()?;
            return Ok(Some(Claim::Vote(self.one(names)?, Some(vote))));
        }
        Ok(None)
    }

    fn claim_of_landing(&mut self, mut names: Vec<Name>, so: bool) -> Read<Claim> {
        if self.line.phrase(&["in this order", "in that order", "in order"]) {
            return Ok(Claim::InOrder(names));
        }
        if self.line.phrase(&["in one push", "together", "with one push", "at once"]) {
            return Ok(Claim::OnePush(names));
        }
        if self.line.eat(&["before"]) {
            names.extend(self.changes()?);
            return Ok(Claim::InOrder(names));
        }
        if self.line.eat(&["after", "behind"]) {
            let mut order = self.changes()?;
            order.extend(names);
            return Ok(Claim::InOrder(order));
        }
        Ok(Claim::HasLanded(names, so))
    }

    fn claim_of_place(&mut self, names: Vec<Name>) -> Read<Claim> {
        let name = self.one(names)?;
        let word = self.line.last().map(|word| word.small.clone()).unwrap_or_default();
        let place = match &*word {
            "second" => 2,
            "third" => 3,
            "number" => match self.line.count() {
                Some(place) => place,
                None => return self.fault("is no number", "write for example `A is number 2`"),
            },
            _ => 1,
        };
        self.line.phrase(&["of the queue", "in the queue", "in queue", "in its queue"]);
        Ok(Claim::Place(name, place))
    }

    /// Texts to be found: in quotation marks with `and` between them, or the rest of the line.
    fn texts(&mut self) -> Read<Vec<String>> {
        let mut texts = Vec::new();
        while self.line.peek().is_some_and(|word| word.quoted) {
            texts.extend(self.line.next().map(|word| word.text));
            self.line.skip(&["and", "with"]);
        }
        if texts.is_empty() {
            let rest = self.line.take_rest();
            if rest.is_empty() {
                return self
                    .fault("the text is missing", "write it in quotation marks, as in `\"Build failed\"`");
            }
            texts.push(rest);
        }
        Ok(texts)
    }
}

//! Whether what a story claims is so, and what is so instead.

use std::collections::BTreeSet;

use super::book::{BuildPage, BuildStand, Stay};
use super::stage::Stage;
use super::story::{Amount, Claim, Name, Standing, Together, Whom};
use crate::model::item::JobOutcome;
use crate::model::view::{ItemView, View};
use crate::model::{ChangeNumber, ChangeStatus, Departure, ItemChange, Pipeline};
use crate::sim::setting::BOT;

/// A claim that is watched at every moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    /// The line of the statement.
    pub line: usize,
    /// As written.
    pub text: String,
    /// What is claimed.
    pub claim: Claim,
    /// It must hold always, rather than never.
    pub holds: bool,
}

/// What ends a story early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The line of the statement; 0 for the one that is under way.
    pub line: usize,
    /// The statement; empty for the one that is under way.
    pub text: String,
    /// What was to be.
    pub expected: String,
    /// What is.
    pub was: String,
}

impl Broken {
    /// Something that no statement asks for.
    pub fn of(was: impl Into<String>) -> Self {
        let (line, text) = (0, String::new());
        Self { line, text, expected: "the story goes on".into(), was: was.into() }
    }

    /// The core finds no rest.
    pub fn loops() -> Self {
        Self::of("time does not go on: the core wakes itself without end")
    }
}

/// What a claim comes to: what is so instead, where it does not hold.
type Judged = Result<(), String>;

fn judged(holds: bool, was: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(was()) }
}

impl Amount {
    pub(super) fn fits(self, count: usize) -> bool {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        match self {
            Self::Exactly(wanted) => count == wanted,
            Self::AtMost(wanted) => count <= wanted,
            Self::AtLeast(wanted) => count >= wanted,
        }
    }
}

impl Stage {
    /// Looks whether something that is watched has come true, or is no longer.
    pub fn look_at_watched(&mut self) {
        if self.broken.is_some() {
            return;
        }
        for watched in &self.watch {
            let now = self.judge(&watched.claim);
            let was = match (now, watched.holds) {
                (Ok(()), false) => "it came true".to_owned(),
                (Err(was), true) => was,
                _ => continue,
            };
            let word = if watched.holds { "always" } else { "never" };
            let text = watched.text.clone();
            let said = format!("not so: {text}");
            self.broken = Some(Broken {
                line: watched.line,
                text,
                expected: format!("{word}, from that line on"),
                was: format!("{was} at {}", self.elapsed()),
            });
            return self.say(said);
        }
    }

    /// Whether a claim holds now.
    ///
    /// # Errors
    /// What is so instead.
    pub fn judge(&self, claim: &Claim) -> Judged {
        match claim {
            Claim::Building(job, trees) => self.building(job.as_deref(), trees),
            Claim::BuildingAmong(job, tree, so) => {
                let tree = self.numbers(tree);
                let found =
                    self.builds_of(job.as_deref()).any(|build| self.book.same_tree(&build.tree, &tree));
                judged(found == *so, || self.all_building(job.as_deref()))
            }
            Claim::InBuild(name, job, so) => {
                let number = self.number(name);
                let found = self.builds_of(job.as_deref()).any(|build| {
                    self.book.stays.get(&build.item).is_some_and(|stay| stay.changes.contains(&number))
                });
                judged(found == *so, || self.all_building(job.as_deref()))
            }
            Claim::Running(amount) => {
                let count = self.book.running().count();
                judged(amount.fits(count), || format!("{count} running: {}", self.all_building(None)))
            }
            Claim::Builds { amount, job, on, with, anew, stopped } => {
                self.counted(*amount, job.as_deref(), on.as_ref(), with, *anew, *stopped)
            }
            Claim::Reused(name, job, so) => self.reused(name, job.as_deref(), *so),
            Claim::Skipped(name, job, so) => self.skipped(name, job.as_deref(), *so),
            Claim::Flaky(job, so) => self.flaky(job, *so),
            Claim::Queue(queue, items) => self.queue(queue.as_deref(), items),
            Claim::Queued(names, so) => self.queued(names, *so),
            Claim::Place(name, place) => self.place(name, *place),
            Claim::Landed(names) => {
                let landed: Vec<String> =
                    self.book.landed.iter().map(|(number, _)| self.name(*number)).collect();
                let same = landed.iter().map(String::as_str).eq(names.iter().map(|name| &**name));
                judged(same, || format!("landed: {}", listed(&landed)))
            }
            Claim::HasLanded(names, so) => {
                let fits = |name: &Name| self.book.has_landed(self.number(name)) == *so;
                let wrong = names.iter().find(|name| !fits(name));
                wrong.map_or(Ok(()), |name| Err(self.whereabouts(name)))
            }
            Claim::InOrder(names) => self.in_order(names),
            Claim::OnePush(names) => self.one_push(names),
            Claim::Pushes(amount) => {
                let count = self.book.pushes;
                judged(amount.fits(count as usize), || format!("{count} pushes"))
            }
            Claim::Left(name, why, so) => self.left(name, why.as_deref(), *so),
            Claim::Told(whom, texts, so) => self.told(whom, texts, *so),
            Claim::Messages(amount, name) => {
                let said = self.said_on(self.number(name));
                judged(amount.fits(said.len()), || said_list(&said))
            }
            Claim::Vote(name, vote) => self.vote_is(name, vote.as_ref()),
            Claim::Waits(name, texts, so) => self.waits(name, texts, *so),
            claim => self.judge_more(claim),
        }
    }

    fn judge_more(&self, claim: &Claim) -> Judged {
        match claim {
            Claim::Status(name, standing, so) => {
                let status = self.gerrit.change(self.number(name)).map(|change| change.status);
                let wanted = match standing {
                    Standing::Open => ChangeStatus::Open,
                    Standing::Abandoned => ChangeStatus::Abandoned,
                };
                judged((status == Some(wanted)) == *so, || self.whereabouts(name))
            }
            Claim::Answer(accepted, texts) => {
                let Some((done, text)) = &self.book.answer else {
                    return Err("no command was answered".into());
                };
                let fits = accepted.is_none_or(|accepted| accepted == *done)
                    && texts.iter().all(|wanted| self.contains(text, wanted));
                judged(fits, || format!("{}: {text}", if *done { "done" } else { "refused" }))
            }
            Claim::Idle => {
                let queued = self.view().map_or(0, |view| {
                    let runs = view.runs.iter().filter(|run| run.outcome.is_none()).count();
                    let queued = view.queues.iter().map(|queue| queue.items.len()).sum::<usize>();
                    view.checks.len() + queued + runs
                });
                let running = self.book.running().count();
                judged(queued + running == 0, || format!("{queued} items are queued, {running} builds run"))
            }
            Claim::Run(meant, what, so) => self.run_is(meant, what, *so),
            Claim::Runs(amount, meant) => self.runs_counted(*amount, meant),
            Claim::Logged(texts, so) => {
                let said = |line: &String| texts.iter().all(|text| self.contains(line, text));
                judged(self.book.log.iter().any(said) == *so, || format!("log: {}", listed(&self.book.log)))
            }
            Claim::History(name, texts, so) => self.history_says(name, texts, *so),
            _ => Err("it cannot be judged".into()),
        }
    }

    pub(super) fn view(&self) -> Option<View> {
        self.engine.as_ref().map(|engine| engine.queue().view(self.now))
    }

    fn numbers(&self, names: &Together) -> BTreeSet<ChangeNumber> {
        names.iter().map(|name| self.number(name)).collect()
    }

    fn builds_of<'a>(&'a self, job: Option<&'a str>) -> impl Iterator<Item = &'a BuildPage> {
        self.book.running().filter(move |build| job.is_none_or(|job| build.job.as_str() == job))
    }

    fn all_building(&self, job: Option<&str>) -> String {
        let mut shown: Vec<String> = Vec::new();
        for build in self.builds_of(job) {
            let text = match job {
                Some(_) => self.sum(&self.book.still(&build.tree)),
                None => format!("{} ({})", self.sum(&self.book.still(&build.tree)), build.job),
            };
            if !shown.contains(&text) {
                shown.push(text);
            }
        }
        format!("building: {}", listed(&shown))
    }

    fn building(&self, job: Option<&str>, trees: &[Together]) -> Judged {
        let wanted: Vec<BTreeSet<ChangeNumber>> = trees.iter().map(|tree| self.numbers(tree)).collect();
        let all_wanted = |tree: &BTreeSet<ChangeNumber>| {
            self.builds_of(job).any(|build| self.book.same_tree(&build.tree, tree))
        };
        let no_other = |build: &BuildPage| wanted.iter().any(|tree| self.book.same_tree(&build.tree, tree));
        judged(wanted.iter().all(all_wanted) && self.builds_of(job).all(no_other), || self.all_building(job))
    }

    fn counted(
        &self,
        amount: Amount,
        job: Option<&str>,
        on: Option<&Together>,
        with: &Together,
        anew: bool,
        stopped: bool,
    ) -> Judged {
        let (on, with) = (on.map(|on| self.numbers(on)), self.numbers(with));
        let meant: Vec<&BuildPage> = self
            .book
            .builds
            .iter()
            .filter(|(id, build)| {
                !(anew && **id <= self.book.counted)
                    && job.is_none_or(|job| build.job.as_str() == job)
                    && on.as_ref().is_none_or(|on| build.tree == *on)
                    && with.is_subset(&build.tree)
                    && (!stopped || build.stand == BuildStand::Stopped)
            })
            .map(|(_, build)| build)
            .collect();
        judged(amount.fits(meant.len()), || {
            let shown: Vec<String> =
                meant.iter().map(|build| format!("{} on {}", build.job, self.sum(&build.tree))).collect();
            format!("{} builds: {}", meant.len(), listed(&shown))
        })
    }

    fn reused(&self, name: &Name, job: Option<&str>, so: bool) -> Judged {
        let number = self.number(name);
        let stay = self
            .book
            .last_stay(number, &Pipeline::Gate)
            .or_else(|| self.book.last_stay(number, &Pipeline::Check));
        let Some(stay) = stay else { return judged(!so, || format!("{name} was in no queue")) };
        let reused: Vec<String> = stay
            .adopted
            .iter()
            .filter(|(key, _)| !stay.bought.contains(key))
            .map(|(_, job)| job.to_string())
            .collect();
        let found = job.map_or(!reused.is_empty(), |job| reused.iter().any(|known| known == job));
        judged(found == so, || format!("reused for {name}: {}", listed(&reused)))
    }

    /// What is not built for a change at its present or last stay.
    fn skipped(&self, name: &Name, job: Option<&str>, so: bool) -> Judged {
        let number = self.number(name);
        let holds = |changes: &[ItemChange]| changes.iter().any(|change| change.number == number);
        let view = self.view();
        let mut stays = view.iter().flat_map(|view| {
            let items = view.queues.iter().flat_map(|queue| &queue.items).chain(&view.checks);
            let items = items.filter(|item| holds(&item.changes)).map(|item| (&item.jobs, &item.unneeded));
            let ended = view.departed.iter().filter(|ended| holds(&ended.changes));
            items.chain(ended.map(|ended| (&ended.jobs, &ended.unneeded)))
        });
        let mut skipped: Vec<String> = Vec::new();
        if let Some((jobs, unneeded)) = stays.next() {
            let of_failure = jobs.iter().filter(|job| job.result == JobOutcome::Skipped);
            skipped.extend(of_failure.map(|job| job.job.to_string()));
            skipped.extend(unneeded.iter().map(|spared| spared.job.to_string()));
        }
        let found = job.map_or(!skipped.is_empty(), |job| skipped.iter().any(|known| known == job));
        judged(found == so, || format!("skipped for {name}: {}", listed(&skipped)))
    }

    fn flaky(&self, job: &str, so: bool) -> Judged {
        let flakes = self.view().map(|view| view.flakes).unwrap_or_default();
        let names: Vec<String> = flakes.iter().map(|flake| flake.job.to_string()).collect();
        judged(names.iter().any(|name| name == job) == so, || format!("flaky: {}", listed(&names)))
    }

    pub(super) fn items(&self, queue: Option<&str>) -> Vec<ItemView> {
        let queues = self.view().map(|view| view.queues).unwrap_or_default();
        let meant = queues.into_iter().filter(|known| queue.is_none_or(|queue| known.name.as_str() == queue));
        meant.flat_map(|queue| queue.items).collect()
    }

    fn queue(&self, queue: Option<&str>, items: &[Together]) -> Judged {
        let found: Vec<BTreeSet<ChangeNumber>> = self
            .items(queue)
            .iter()
            .map(|item| item.changes.iter().map(|change| change.number).collect())
            .collect();
        let wanted: Vec<BTreeSet<ChangeNumber>> = items.iter().map(|item| self.numbers(item)).collect();
        judged(found == wanted, || {
            let shown: Vec<String> = found.iter().map(|item| self.sum(item)).collect();
            format!("queue: {}", listed(&shown))
        })
    }

    fn queued(&self, names: &[Name], so: bool) -> Judged {
        let items = self.items(None);
        let there = |name: &Name| {
            let number = self.number(name);
            items.iter().any(|item| item.changes.iter().any(|change| change.number == number))
        };
        let wrong = names.iter().find(|name| there(name) != so);
        wrong.map_or(Ok(()), |name| Err(self.whereabouts(name)))
    }

    fn place(&self, name: &Name, place: u32) -> Judged {
        let number = self.number(name);
        let queues = self.view().map(|view| view.queues).unwrap_or_default();
        let holds = |item: &ItemView| item.changes.iter().any(|change| change.number == number);
        let found = queues.iter().find_map(|queue| queue.items.iter().position(holds));
        let found = found.map(|at| at + 1);
        judged(found == usize::try_from(place).ok(), || match found {
            Some(found) => format!("{name} is number {found}"),
            None => self.whereabouts(name),
        })
    }

    fn in_order(&self, names: &[Name]) -> Judged {
        let places: Vec<Option<usize>> = names
            .iter()
            .map(|name| self.book.landed.iter().position(|(number, _)| *number == self.number(name)))
            .collect();
        let holds = places.iter().all(Option::is_some) && places.windows(2).all(|pair| pair[0] < pair[1]);
        judged(holds, || {
            let landed: Vec<String> = self.book.landed.iter().map(|(number, _)| self.name(*number)).collect();
            format!("landed: {}", listed(&landed))
        })
    }

    fn one_push(&self, names: &[Name]) -> Judged {
        let pushes: BTreeSet<Option<u32>> = names
            .iter()
            .map(|name| {
                self.book
                    .landed
                    .iter()
                    .find(|(number, _)| *number == self.number(name))
                    .map(|(_, push)| *push)
            })
            .collect();
        judged(pushes.len() == 1 && !pushes.contains(&None), || {
            format!("they landed in {} pushes", pushes.len())
        })
    }

    fn left(&self, name: &Name, why: Option<&str>, so: bool) -> Judged {
        let number = self.number(name);
        let stay = self.book.last_stay(number, &Pipeline::Gate);
        let ended = stay.and_then(|stay| stay.ended.as_ref());
        let gone = ended.filter(|departure| !matches!(departure, Departure::Landed { .. }));
        // What was done to one of several is another end to that one than to the others.
        let own = stay.and_then(|stay| stay.told.get(&number)).filter(|_| gone.is_some());
        let is_why = |why: &str| gone.into_iter().chain(own).any(|departure| self.is_why(departure, why));
        let fits = gone.is_some() && why.is_none_or(is_why);
        judged(fits == so, || match gone {
            Some(departure) => format!("{name} left: {}", super::words_of(departure)),
            None => self.whereabouts(name),
        })
    }

    fn said_on(&self, number: ChangeNumber) -> Vec<String> {
        let change = self.gerrit.change(number);
        let messages = change.map_or(&[][..], |change| &change.messages);
        let own = messages.iter().filter(|message| message.by.as_str() == BOT && !message.text.is_empty());
        own.map(|message| message.text.to_string()).collect()
    }

    fn told(&self, whom: &Whom, texts: &[String], so: bool) -> Judged {
        let heard: Vec<String> = self
            .gerrit
            .changes()
            .filter(|change| match whom {
                Whom::On(name) => change.number == self.number(name),
                Whom::Owner(owner) => change.owner.as_str() == owner,
                Whom::Anyone => true,
            })
            .flat_map(|change| self.said_on(change.number))
            .collect();
        // All texts stand in one message.
        let found = heard.iter().any(|said| texts.iter().all(|text| self.contains(said, text)));
        judged(found == so, || said_list(&heard))
    }

    fn vote_is(&self, name: &Name, vote: Option<&(String, i32)>) -> Judged {
        let votes =
            self.gerrit.change(self.number(name)).map(|change| change.votes.clone()).unwrap_or_default();
        let shown = || {
            let all: Vec<String> =
                votes.iter().map(|vote| format!("{} {:+} by {}", vote.label, vote.value, vote.by)).collect();
            format!("votes: {}", listed(&all))
        };
        let holds = match vote {
            None => !votes.iter().any(|vote| vote.by.as_str() == BOT),
            Some((label, 0)) => !votes.iter().any(|vote| vote.label.as_str() == label),
            Some((label, value)) => {
                votes.iter().any(|vote| vote.label.as_str() == label && vote.value == *value)
            }
        };
        judged(holds, shown)
    }

    /// Why a change waits, in words: in its queue, in the check, or outside.
    fn reason(&self, number: ChangeNumber) -> Option<String> {
        let view = self.view()?;
        let holds = |item: &&ItemView| item.changes.iter().any(|change| change.number == number);
        let queued = view.queues.iter().flat_map(|queue| &queue.items).find(holds);
        let outside = view.waiting.iter().find(|waiting| waiting.change.number == number);
        let words =
            queued.map(|item| item.words.clone()).or_else(|| outside.map(|waiting| waiting.words.clone()));
        words.or_else(|| view.checks.iter().find(holds).map(|item| item.words.clone()))
    }

    fn waits(&self, name: &Name, texts: &[String], so: bool) -> Judged {
        let reason = self.reason(self.number(name));
        let fits = reason.as_ref().is_some_and(|reason| texts.iter().all(|text| self.contains(reason, text)));
        judged(fits == so, || match &reason {
            Some(reason) => format!("{name}: {}", self.with_names(reason)),
            None => self.whereabouts(name),
        })
    }

    /// Where a change is, for the difference.
    fn whereabouts(&self, name: &Name) -> String {
        let number = self.number(name);
        if self.book.has_landed(number) {
            return format!("{name} has landed");
        }
        let Some(change) = self.gerrit.change(number) else { return format!("{name} is not uploaded yet") };
        if let Some(reason) = self.reason(number) {
            let place = if self
                .items(None)
                .iter()
                .any(|item| item.changes.iter().any(|change| change.number == number))
            {
                "is queued"
            } else {
                "is in no queue"
            };
            return format!("{name} {place}: {}", self.with_names(&reason));
        }
        let ended = self.book.last_stay(number, &Pipeline::Gate).and_then(|stay: &Stay| stay.ended.as_ref());
        match ended {
            Some(departure) => format!("{name} has left: {}", self.with_names(&super::words_of(departure))),
            None if change.status == ChangeStatus::Abandoned => format!("{name} is abandoned"),
            None => format!("{name} is open and in no queue"),
        }
    }
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "nothing".into() } else { items.join(", ") }
}

fn said_list(said: &[String]) -> String {
    let shown: Vec<String> = said
        .iter()
        .map(|text| {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut: String = text.chars().take(160).collect();
            format!("“{cut}{}”", if cut.len() < text.len() { "…" } else { "" })
        })
        .collect();
    format!("said: {}", listed(&shown))
}

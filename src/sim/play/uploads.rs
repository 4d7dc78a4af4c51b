//! Uploads of changes, and pushes beside the queue.

use super::reader::Reader;
use super::story::{Act, Upload};
use super::words::Read;

impl Reader<'_> {
    pub(super) fn upload(&mut self, stack: bool) -> Read<Act> {
        self.line.skip(&["a", "the", "new", "another"]);
        let mut round = self.patch_set();
        if round.is_some() || self.line.phrase(&["patch set of", "version of"]) {
            self.line.eat(&["of"]);
        }
        let names = self.changes()?;
        round = round.or_else(|| self.patch_set());
        let _ = round;
        let mut upload = Upload::default();
        let mut stacked = stack;
        while !self.line.is_over() {
            stacked |= self.line.phrase(&["as a stack", "stacked on each other", "as stack", "in a stack"]);
            if !self.line.is_over() {
                self.upload_clause(&mut upload)?;
            }
        }
        self.block_of(&mut upload)?;
        upload.by = upload.by.or_else(|| self.by.take());
        let mut uploads: Vec<Upload> = Vec::new();
        for name in names {
            let mut one = Upload { name: Some(name.clone()), ..upload.clone() };
            if let (true, Some(below)) = (stacked, uploads.last()) {
                one.on = below.name.clone().map(|name| (name, None));
            }
            uploads.push(one);
        }
        Ok(Act::Upload(uploads))
    }

    /// A block belongs to the file that is written, or it is the message.
    fn block_of(&mut self, upload: &mut Upload) -> Read<()> {
        let Some(block) = self.block.take() else { return Ok(()) };
        match upload.writes.last_mut() {
            Some((_, text)) if text.is_empty() => *text = block.text,
            _ => upload.message.extend(block.text.lines().map(str::to_owned)),
        }
        Ok(())
    }

    fn upload_clause(&mut self, upload: &mut Upload) -> Read<()> {
        self.line.skip(&["which", "that", "and"]);
        if self.line.eat(&["to", "into", "for", "in"]) {
            upload.pair = Some(self.pair()?);
        } else if self.line.phrase(&["depends on", "depending on", "depends-on", "with depends-on"]) {
            let names = self.changes()?;
            upload.depends_on.extend(names);
        } else if self.line.is(&["on"])
            && self.line.peek_at(1).is_some_and(|word| {
                self.known.repositories.contains(&word.text) && self.known.change(&word.text).is_none()
            })
        {
            self.line.next();
            upload.pair = Some(self.pair()?);
        } else if self.line.phrase(&[
            "on top of",
            "onto",
            "stacked on",
            "based on",
            "resting on",
            "above",
            "on",
        ]) {
            let round = self.patch_set();
            self.line.eat(&["of"]);
            let name = self.change()?;
            let round = round.or_else(|| self.patch_set());
            upload.on = Some((name, round));
        } else if self.line.is(&["by", "from"]) {
            self.line.next();
            upload.by = Some(self.line.need("the name of a person", "upload A by alice")?.text);
        } else if self.line.phrase(&["without a change-id", "without change-id"]) {
            upload.footerless = true;
        } else if self.line.phrase(&["as work in progress", "work in progress", "as wip", "wip"]) {
            upload.progress = true;
        } else if self.line.phrase(&["as private", "private", "privately"]) {
            upload.private = true;
        } else if self.line.phrase(&["with topic", "in topic", "under topic", "topic", "with the topic"]) {
            upload.topic = Some(self.line.need("the topic", "upload A with topic fast")?.text);
        } else if self.line.phrase(&["with hashtag", "with hashtags", "hashtag", "hashtags", "tagged"]) {
            upload.hashtags.extend(self.line.list());
        } else if self.line.phrase(&["with message", "with the message", "saying", "message"]) {
            let word = self.line.peek().filter(|word| word.quoted).cloned();
            upload.message.extend(word.map(|word| word.text));
            self.line.next();
        } else if self.line.eat(&["again", "anew", "afresh", "with"]) {
        } else {
            return self.content_clause(upload);
        }
        Ok(())
    }

    fn content_clause(&mut self, upload: &mut Upload) -> Read<()> {
        if self.line.phrase(&["adding job", "adding jobs", "adding the job", "adds job"]) {
            upload.adds_jobs.extend(self.line.list());
        } else if self.line.phrase(&["breaking the job file", "breaks the job file", "breaking its job file"])
        {
            upload.breaks_jobs = true;
        } else if self.line.eat(&[
            "editing",
            "edits",
            "changing",
            "changes",
            "touching",
            "touches",
            "modifying",
            "adding",
        ]) {
            self.line.skip(&["only", "the", "file", "files"]);
            upload.edits.extend(self.line.list());
        } else if self.line.eat(&["deleting", "deletes", "removing", "removes"]) {
            self.line.skip(&["the", "file", "files"]);
            upload.deletes.extend(self.line.list());
        } else if self.line.eat(&["writing", "writes"]) {
            let file = self.line.need("the file", "upload A writing seakeeper.toml:")?.text;
            self.line.eat(&["as"]);
            let text = self.line.peek().filter(|word| word.quoted).map(|word| word.text.clone());
            if text.is_some() {
                self.line.next();
            }
            upload.writes.push((file, text.unwrap_or_default()));
        } else if self.line.eat(&["merging", "merges"]) {
            self.line.skip(&["in", "branch", "the"]);
            upload.merges = Some(self.line.need("the branch", "upload A merging dev")?.text);
        } else if self.line.eat(&["reverting", "reverts"]) {
            let word = self.line.need("the change", "upload B reverting A")?;
            match self.known.content(&word.text) {
                Some(name) => upload.reverts = Some(name),
                None => {
                    return self.line.fault_at(&word.text, "no change of this name is uploaded", "name one");
                }
            }
        } else {
            return self.fault(
                "is no clause of an upload",
                "write for example `upload A to app on top of B editing README by alice with topic fast`",
            );
        }
        Ok(())
    }

    pub(super) fn push(&mut self) -> Read<Act> {
        let mut upload = Upload::default();
        self.line.skip(&["the", "a", "commit", "something", "directly"]);
        if let Some(word) = self.line.peek().filter(|word| self.known.pushes.contains(&*word.text)).cloned() {
            upload.name = self.known.content(&word.text);
            self.line.next();
        }
        self.line.skip(&["directly"]);
        while !self.line.is_over() {
            self.upload_clause(&mut upload)?;
        }
        self.block_of(&mut upload)?;
        if upload.pair.is_none() {
            return self.fault(
                "it is not said to which repository",
                "write for example `push to app editing README`",
            );
        }
        upload.by = upload.by.or_else(|| self.by.take());
        Ok(Act::Push(Box::new(upload)))
    }
}

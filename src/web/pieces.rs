//! The parts that pages share: frame, changes, jobs, times.

use super::html::Html;
use super::picture::Times;
use super::words;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::time::in_words;
use crate::model::tree::Unneeded;
use crate::model::{ChangeNumber, ItemChange, Timestamp};

/// What a page needs beside the picture.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// The way from this page to the start page, for links that work behind any path prefix.
    pub root: &'static str,
    /// The time now.
    pub now: Timestamp,
    /// Where changes are reviewed, without a slash at the end.
    pub review_url: Option<&'a str>,
    /// What progress is reckoned from.
    pub times: &'a Times,
    /// The picture that the page shows, for the stream to go on from there.
    pub at: &'a str,
    /// The most entries of a list that are written at once; the stream brings the others.
    pub most: usize,
}

impl Frame<'_> {
    /// Opens a page. `live` is the address below the start page from which it hears what is new, `search`
    /// what its search field holds.
    pub fn open(&self, title: &str, live: &str, search: &str) -> Html {
        let mut html = Html::default();
        html.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
            .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
            .raw("<meta name=\"color-scheme\" content=\"light dark\">")
            .element("<title>", title, "</title>")
            .element("<link rel=\"icon\" type=\"image/svg+xml\" href=\"", self.root, "assets/icon.svg\">")
            .element("<link rel=\"stylesheet\" href=\"", self.root, "assets/style.css\">")
            .element("<script defer src=\"", self.root, "assets/live.js\"></script></head>")
            .element("<body data-now=\"", self.now.0, "\" data-live=\"")
            .text(self.root)
            .text(live)
            .element("\" data-at=\"", self.at, "\" data-most=\"")
            .element("", self.most, "\">")
            .raw("<a class=\"skip\" href=\"#main\">Skip to the content</a><header class=\"top\">")
            .element("<a class=\"brand\" href=\"", self.root, "./\"><img src=\"")
            .element("", self.root, "assets/icon.svg\" alt=\"\" width=\"24\" height=\"24\">Seakeeper</a>")
            .element("<form role=\"search\" action=\"", self.root, "search\"><label for=\"q\">Search</label>")
            .element("<input id=\"q\" name=\"q\" type=\"search\" maxlength=\"200\" value=\"", search, "\" ")
            .raw("placeholder=\"number, subject, owner, repository\"></form>")
            .raw("<p id=\"pulse\" class=\"pulse\" role=\"status\"></p></header>");
        html
    }

    /// Closes it.
    pub fn close(&self, mut html: Html) -> String {
        html.raw("<p id=\"news\" class=\"unseen\" role=\"log\" aria-live=\"polite\"></p>")
            .raw("<footer>Seakeeper ")
            .text(env!("CARGO_PKG_VERSION"))
            .element(" · as of ", words::moment(self.now), "<nav aria-label=\"For programs\">")
            .element("<a href=\"", self.root, "api/v1/status\">JSON</a> ")
            .element("<a href=\"", self.root, "api/v1/openapi.json\">API description</a> ")
            .element("<a href=\"", self.root, "metrics\">metrics</a> ")
            .element("<a href=\"", self.root, "readyz\">health</a></nav></footer></body></html>\n");
        html.finish()
    }

    /// The first line of an entry: number, subject, and how it stands.
    pub fn headline(&self, html: &mut Html, changes: &[ItemChange], word: &'static str, chip: &str) {
        html.raw("<div class=\"head\"><div class=\"what\">");
        if changes.is_empty() {
            html.raw("<p class=\"dim\">A change that you may not see</p>");
        }
        for change in changes {
            html.raw("<p>");
            self.link(html, change.number);
            html.element("<span class=\"subject\">", &change.subject, "</span></p>");
        }
        html.element("</div><span class=\"chip ", word, "\">").text(chip).raw("</span></div>");
    }

    /// A link to a change's page.
    pub fn link(&self, html: &mut Html, number: ChangeNumber) {
        if number == ChangeNumber::UNSEEN {
            html.raw("<span class=\"dim\">hidden</span>");
            return;
        }
        html.element("<a class=\"num\" href=\"", self.root, "change/")
            .element("", number, "\">")
            .element("", number, "</a> ");
    }

    /// Where a change is to land, who owns it, and its review.
    pub fn place(&self, html: &mut Html, change: &ItemChange) {
        html.element("<span>", &change.pair.repository, " <b>").element(
            "",
            &change.pair.branch,
            "</b></span>",
        );
        html.element("<span>", &change.owner, "</span>");
        if let Some(url) = self.review_url {
            html.element("<a href=\"", url, "/c/")
                .text(escape_path(change.pair.repository.as_str()))
                .element("/+/", change.number, "\">review<span class=\"unseen\"> of change ")
                .element("", change.number, "</span></a>");
        }
    }

    /// The jobs of an item; each with a build leads to its log.
    pub fn jobs(&self, html: &mut Html, jobs: &[JobResult]) {
        if jobs.is_empty() {
            return;
        }
        html.raw("<ul class=\"jobs\">");
        for job in jobs {
            html.element("<li class=\"", words::outcome(job.result), "\">");
            match job.build {
                Some(build) => {
                    html.element("<a href=\"", self.root, "build/")
                        .element("", build, "\">")
                        .element("", &job.job, "</a> ");
                }
                None => {
                    html.element("<span>", &job.job, "</span> ");
                }
            }
            self.progress(html, job);
            if !job.detail.is_empty() {
                html.element("<span class=\"dim\">(", &job.detail, ")</span> ");
            }
            html.raw(if job.voting { "</li>" } else { "<span class=\"dim\">non-voting</span></li>" });
        }
        html.raw("</ul>");
    }

    /// The jobs that an item is spared, folded up.
    pub fn unneeded(&self, html: &mut Html, unneeded: &[Unneeded]) {
        if unneeded.is_empty() {
            return;
        }
        let noun = if unneeded.len() == 1 { "job was" } else { "jobs were" };
        html.element("<details class=\"on\"><summary>", unneeded.len(), " ").element(
            "",
            noun,
            " not needed</summary><ul>",
        );
        for spared in unneeded {
            html.element("<li>", words::unneeded(spared), "</li>");
        }
        html.raw("</ul></details>");
    }

    /// How far a job is: its result, or how long it has run and probably will.
    fn progress(&self, html: &mut Html, job: &JobResult) {
        let outcome = words::outcome(job.result);
        let started = job.build.and_then(|build| self.times.started.get(&build));
        let (JobOutcome::Running, Some(started)) = (job.result, started) else {
            html.element("<span>", outcome, "");
            if job.duration_ms > 0 && job.result != JobOutcome::Running {
                html.element(" in ", in_words(job.duration_ms), "");
            }
            html.raw("</span> ");
            return;
        };
        let ran_ms = self.now.since_ms(*started).max(0);
        html.element("<span>running <span data-since=\"", started.0, "\">");
        html.element("", in_words(ran_ms), "</span>");
        if let Some(estimate) = self.times.estimates.get(&job.job).filter(|estimate| **estimate > 0) {
            html.element(" of estimated ", in_words(*estimate), "</span> ")
                .element("<progress data-since=\"", started.0, "\" max=\"")
                .element("", estimate, "\" value=\"")
                .element("", ran_ms.min(*estimate), "\" aria-label=\"estimated progress of ")
                .element("", &job.job, "\"></progress> ");
        } else {
            html.raw("</span> ");
        }
    }

    /// How long ago `at` was; the moment itself is shown when pointed at.
    pub fn ago(&self, html: &mut Html, at: Timestamp) {
        let moment = words::moment(at);
        html.element("<time data-since=\"", at.0, "\" datetime=\"")
            .element("", &moment, "\" title=\"")
            .element("", &moment, "\">")
            .element("", in_words(self.now.since_ms(at)), "</time>");
    }
}

/// A repository's name in a path: slashes stay, what would end the path does not.
pub fn escape_path(name: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
    percent_encoding::utf8_percent_encode(name, KEPT).to_string()
}

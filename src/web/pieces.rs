//! The parts that pages share: frame, changes, jobs, times.

use super::html::Html;
use super::words;
use crate::model::item::JobResult;
use crate::model::time::in_words;
use crate::model::{ItemChange, Timestamp};

/// The one style sheet; the page's policy names it by its digest.
pub const STYLE: &str = include_str!("style.css");

/// What a page needs beside the view.
pub struct Frame<'a> {
    /// The way from this page to the start page, for links that work behind any path prefix.
    pub root: &'static str,
    /// The time now.
    pub now: Timestamp,
    /// Where changes are reviewed, without a slash at the end.
    pub review_url: Option<&'a str>,
}

impl Frame<'_> {
    /// Opens a page that asks for itself again every 5 seconds.
    pub fn open(&self, title: &str) -> Html {
        let mut html = Html::default();
        html.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
            .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
            .raw("<meta http-equiv=\"refresh\" content=\"5\">")
            .element("<title>", title, "</title>")
            .raw("<style>")
            .raw(STYLE)
            .raw("</style></head><body>\n");
        html
    }

    /// Closes it.
    pub fn close(&self, mut html: Html) -> String {
        html.raw("<footer class=\"dim\">Seakeeper ")
            .text(env!("CARGO_PKG_VERSION"))
            .element(" · as of ", words::moment(self.now), " · ")
            .element("<a href=\"", self.root, "api/v1/view\">JSON</a> · ")
            .element("<a href=\"", self.root, "metrics\">metrics</a> · ")
            .element("<a href=\"", self.root, "readyz\">health</a></footer></body></html>\n");
        html.finish()
    }

    /// One change: number, subject, place, owner.
    pub fn change(&self, html: &mut Html, change: &ItemChange) {
        html.element("<p><a href=\"", self.root, "change/")
            .text(change.number)
            .element("\">", change.number, ",")
            .text(change.patchset)
            .element("</a> ", &change.subject, "<br><span class=\"dim\">")
            .text(&change.pair)
            .element(" · ", &change.owner, "");
        if let Some(url) = self.review_url {
            html.element(" · <a href=\"", url, "/c/")
                .text(escape_path(change.pair.repository.as_str()))
                .element("/+/", change.number, "\">review</a>");
        }
        html.raw("</span></p>");
    }

    /// The jobs of an item; each with a build leads to its log.
    pub fn jobs(&self, html: &mut Html, jobs: &[JobResult]) {
        if jobs.is_empty() {
            return;
        }
        html.raw("<ul class=\"jobs\">");
        for job in jobs {
            let outcome = words::outcome(job.result);
            html.element("<li class=\"", outcome, "\">");
            match job.build {
                Some(build) => {
                    html.element("<a href=\"", self.root, "build/")
                        .element("", build, "\">")
                        .element("", &job.job, "</a>");
                }
                None => {
                    html.text(&job.job);
                }
            }
            html.element(" ", outcome, "");
            if job.duration_ms > 0 {
                html.element(" in ", in_words(job.duration_ms), "");
            }
            if !job.detail.is_empty() {
                html.element(" (", &job.detail, ")");
            }
            html.raw(if job.voting { "</li>" } else { " <span class=\"dim\">non-voting</span></li>" });
        }
        html.raw("</ul>");
    }

    /// How long ago `at` was; the moment itself is shown when pointed at.
    pub fn ago(&self, html: &mut Html, at: Timestamp) {
        let moment = words::moment(at);
        html.element("<time datetime=\"", &moment, "\" title=\"").element("", &moment, "\">").element(
            "",
            in_words(self.now.since_ms(at)),
            "</time>",
        );
    }
}

/// A repository's name in a path: slashes stay, what would end the path does not.
fn escape_path(name: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
    percent_encoding::utf8_percent_encode(name, KEPT).to_string()
}

//! The jobs that are proven to be flaky, as a part of the status page.

use super::html::Html;
use super::picture::Picture;
use super::pieces::Frame;
use super::words;

/// The most jobs that are shown; `seakeeper flakes` has them all.
const SHOWN_MAX: usize = 10;

/// Writes them, the worst first; nothing where none is known.
pub fn write(html: &mut Html, picture: &Picture, frame: &Frame<'_>) {
    let flakes = &picture.view.flakes;
    if flakes.is_empty() {
        return;
    }
    html.raw("<section class=\"list\" aria-labelledby=\"flaky-head\"><h2 id=\"flaky-head\">Flaky jobs ");
    html.element("<span class=\"count\">", flakes.len(), "</span></h2><ul class=\"flaky\">");
    for flake in flakes.iter().take(SHOWN_MAX) {
        html.element("<li><strong>", &flake.job, "</strong> ").element("in ", &flake.repository, "");
        html.element("<p class=\"dim\">", words::flake(flake), ": ");
        html.element("<a href=\"", frame.root, "build/").element("", flake.failed_build, "\">build ");
        html.element("", flake.failed_build, " failed</a>, ");
        html.element("<a href=\"", frame.root, "build/").element("", flake.passed_build, "\">build ");
        html.element("", flake.passed_build, " passed</a></p></li>");
    }
    html.raw("</ul></section>");
}

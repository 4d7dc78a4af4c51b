//! How to take part in a demonstration that runs: commands to copy.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::host::Host;
use super::play::APP;
use crate::cli::stand_in::HTTP_PORT;

/// The lines.
pub fn lines(host: &Host, page: &str) -> Vec<String> {
    let token = utf8_percent_encode(&host.alice.token, NON_ALPHANUMERIC);
    let address = host.url.trim_start_matches("http://");
    let mut lines = vec![
        String::new(),
        format!("Both stay until Ctrl-C: the queue at {page}, Gerrit at {}", host.url),
        String::new(),
        "Take part, in another terminal:".to_owned(),
        format!("  git clone http://alice:{token}@{address}a/{APP} && cd {APP}"),
        "  git config user.name Alice && git config user.email alice@example.com".to_owned(),
        format!(
            "  curl -so .git/hooks/commit-msg {}tools/hooks/commit-msg && chmod +x .git/hooks/commit-msg",
            host.url
        ),
        "  echo hello > hello && git add hello && git commit -m \"Say hello\"".to_owned(),
        "  git push origin HEAD:refs/for/master".to_owned(),
        "The answer names the change. Approve it, with its number for N:".to_owned(),
    ];
    if host.is_stand_in() {
        let elsewhere = if host.url.ends_with(&format!(":{HTTP_PORT}/")) {
            String::new()
        } else {
            format!(" --url {}", host.url)
        };
        lines.push(format!("  seakeeper demo vote N +2{elsewhere}"));
        lines.push(
            "or with the buttons on its page. A file whose name ends in .test is run: `exit 1` in it fails."
                .to_owned(),
        );
    } else {
        let token = &host.bob.token;
        lines.push(format!(
            "  curl -u 'bob:{token}' -H 'Content-Type: application/json' -d '{{\"labels\":{{\"Code-Review\":2}}}}' {}a/changes/N/revisions/current/review",
            host.url
        ));
        lines.push("A file whose name ends in .test is run: `exit 1` in it fails.".to_owned());
    }
    lines
}

//! The hook that gives a commit its Change-Id, served where Gerrit serves its own.

/// A script for `.git/hooks/commit-msg`.
pub const SCRIPT: &str = r#"#!/bin/sh
# Adds a Change-Id to a commit message that has none, so that a changed commit finds its change again.
message="$1"
grep -q '^Change-Id: I[0-9a-f]\{40\}$' "$message" && exit 0
test -n "$(git stripspace --strip-comments < "$message")" || exit 0
id=$( (git var GIT_COMMITTER_IDENT; git write-tree; date; cat "$message") | git hash-object --stdin)
git interpret-trailers --in-place --trailer "Change-Id: I$id" "$message"
"#;

//! The reference page and the documented example, made from the table of keys.

use std::fmt::Write as _;

use super::keys::{Absent, KeyDoc, TABLES, reference};
use super::quantity::{parse_duration, parse_size};

/// The text of `docs/configuration.md`.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Made from the table of keys in src/config/keys.rs by `seakeeper check-config --reference`. -->\n\n\
         One TOML file configures the daemon. Relative paths begin in the file's own folder. Durations are\n\
         written `500ms`, `90s`, `30m`, `24h`, `7d` or together as in `1h30m`, sizes `64MiB` or `64MB`. A key\n\
         that the daemon does not know is an error, and all errors are reported at once. `config/minimal.toml`\n\
         is the smallest useful file, `config/example.toml` has every key.\n\n\
         A repository may declare jobs of its own in a `seakeeper.toml` at its top: `[[job]]` with the keys\n\
         below except `repositories`, `branches` and `trust`, `[template.NAME]` for keys that they share, and\n\
         `noop = true` where changes may land without any job.\n",
    );
    for (table, heading, text) in TABLES {
        let heading = if heading.starts_with('[') { format!("`{heading}`") } else { (*heading).to_owned() };
        // Writing to a text cannot fail.
        let _ = write!(page, "\n## {heading}\n\n{text}\n");
        let keys = keys_of(table);
        if !keys.is_empty() {
            page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
        }
        for doc in keys {
            let example = format!(" Example: `{}`.", doc.example);
            let (default, example) = match doc.absent {
                Absent::Required => ("must be given".to_owned(), example),
                Absent::Value(value) => (format!("`{value}`"), String::new()),
                Absent::Words(words) => (words.to_owned(), example),
            };
            let (key, kind, text) = (doc.key, kind_of(doc.example), doc.text);
            let _ = writeln!(page, "| `{key}` | {kind} | {default} | {text}{example} |");
        }
    }
    page
}

/// The text of `config/example.toml`: keys that may be left out stand behind `#`, with their default.
pub fn example_file() -> String {
    let mut file = String::from(
        "# Every key of the configuration. What begins with `#` and no blank is a default (or, where the\n\
         # default depends on something, an example) and may be left out.\n",
    );
    for (table, heading, text) in TABLES.iter().filter(|(_, heading, _)| heading.starts_with('[')) {
        let _ = write!(file, "\n# {text}\n{heading}\n");
        for doc in keys_of(table) {
            let (mark, note) = match doc.absent {
                Absent::Required => ("", String::new()),
                Absent::Value(_) => ("#", String::new()),
                Absent::Words(words) => ("#", format!(" Default: {words}.")),
            };
            let _ = write!(file, "# {}{note}\n{mark}{} = {}\n", doc.text, doc.key, doc.example);
        }
    }
    file
}

/// What people call the type of a value, from an example in TOML.
fn kind_of(example: &str) -> &'static str {
    let Ok(table) = format!("key = {example}").parse::<toml::Table>() else { return "text" };
    match table.get("key") {
        Some(toml::Value::Integer(_)) => "whole number",
        Some(toml::Value::Boolean(_)) => "true or false",
        Some(toml::Value::Array(_)) => "list",
        Some(toml::Value::Table(_)) => "table",
        Some(toml::Value::String(text)) if parse_duration(text).is_ok() => "duration",
        Some(toml::Value::String(text)) if parse_size(text).is_ok() => "size",
        _ => "text",
    }
}

fn keys_of(table: &str) -> Vec<KeyDoc> {
    reference().into_iter().filter(|doc| doc.table == table).collect()
}

//! Reading one table of a file: each method takes a key, checks its type and notes what is wrong, so
//! that all faults of a file are found in one pass.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use super::problem::Source;
use super::quantity::{parse_duration, parse_size};
use crate::model::{Pattern, Patterns};

/// The longest text and the longest list that a configuration may hold.
const MAX_TEXT_BYTES: usize = 64 * 1024;
const MAX_LIST: usize = 10_000;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// One table. An absent one reads as empty.
pub(super) struct Section<'a> {
    pub(super) source: &'a Source<'a>,
    /// As in the key table: `gerrit`, `queue`.
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
    /// Where it begins.
    pub(super) at: usize,
    /// What has the keys that this one lacks.
    base: Option<&'a Section<'a>>,
}

impl<'a> Section<'a> {
    /// The table `name`; keys that the table of keys does not have are noted.
    pub(super) fn new(
        source: &'a Source<'a>,
        name: &'static str,
        table: Option<&'a DeTable<'a>>,
        at: usize,
    ) -> Self {
        for (key, _) in table.into_iter().flatten() {
            let text: &str = key.get_ref();
            if !keys::is_known(name, text) {
                let remedy = keys::suggestion(name, text);
                source.problem(key.span().start, &keys::path(name, text), "unknown key", remedy);
            }
        }
        Self { source, name, table, at, base: None }
    }

    /// The same, with the keys of `base` where it has none itself.
    pub(super) fn on<'t>(self, base: &'t Section<'a>) -> Section<'t> {
        let own: Section<'t> = self;
        Section { base: Some(base), ..own }
    }

    /// What has the keys that this one lacks.
    pub(super) fn base(&self) -> Option<&'a Section<'a>> {
        self.base
    }

    fn path(&self, key: &str) -> String {
        keys::path(self.name, key)
    }

    fn own(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.and_then(|table| table.get(key))
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.own(key).or_else(|| self.base?.get(key))
    }

    /// The table in which `key` stands, or would.
    fn origin(&self, key: &str) -> &Section<'a> {
        match self.base {
            Some(base) if self.own(key).is_none() && base.has(key) => base,
            _ => self,
        }
    }

    /// Whether `key` is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Where the value of `key` stands, or the table.
    pub(super) fn at_of(&self, key: &str) -> usize {
        self.get(key).map_or(self.at, |value| value.span().start)
    }

    /// Notes a fault of `key`.
    pub(super) fn problem(&self, at: usize, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let origin = self.origin(key);
        origin.source.problem(at, &origin.path(key), what, remedy);
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let what = format!("expected {wanted}, found {}", kind_of(value.get_ref()));
        self.problem(
            value.span().start,
            key,
            what,
            format!("write for example `{}`", keys::sample(self.name, key)),
        );
    }

    /// Says that `key` must be there.
    pub(super) fn missing(&self, key: &str) {
        let remedy = format!("add for example `{}`", keys::sample(self.name, key));
        self.source.absent(self.at, &self.path(key), "is missing", remedy);
    }

    /// A text that is not empty and has no control characters but line ends.
    pub(super) fn text(&self, key: &str) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        self.text_of(key, value)
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &str) -> Option<At<&'a str>> {
        if self.get(key).is_none() {
            self.missing(key);
        }
        self.text(key)
    }

    fn text_of(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<At<&'a str>> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, value, "a text");
            return None;
        };
        let at = value.span().start;
        if text.trim().is_empty() {
            self.problem(
                at,
                key,
                "is empty",
                format!("write for example `{}`", keys::sample(self.name, key)),
            );
        } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            self.problem(at, key, "contains a control character", "remove it");
        } else if text.len() > MAX_TEXT_BYTES {
            self.problem(
                at,
                key,
                format!("has {} bytes", text.len()),
                format!("write at most {MAX_TEXT_BYTES}"),
            );
        } else {
            return Some(At { value: text, at });
        }
        None
    }

    /// The values of an array, each with its place.
    pub(super) fn array(&self, key: &str) -> Option<Vec<&'a Spanned<DeValue<'a>>>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Array(values) if values.len() <= MAX_LIST => Some(values.iter().collect()),
            DeValue::Array(values) => {
                let what = format!("has {} elements", values.len());
                self.problem(value.span().start, key, what, format!("write at most {MAX_LIST}"));
                None
            }
            _ => {
                self.wrong_type(key, value, "a list");
                None
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<At<&'a str>>> {
        let values = self.array(key)?;
        Some(values.into_iter().filter_map(|value| self.text_of(key, value)).collect())
    }

    /// A list of patterns, not empty.
    pub(super) fn patterns(&self, key: &str) -> Option<Patterns> {
        let texts = self.texts(key)?;
        if texts.is_empty() && self.array(key).is_some_and(|values| values.is_empty()) {
            self.problem(self.at_of(key), key, "matches nothing", "name at least one, or `*` for all");
        }
        Some(Patterns(texts.into_iter().map(|text| Pattern::new(text.value)).collect()))
    }

    /// A list of paths within a repository.
    pub(super) fn paths(&self, key: &str) -> Vec<Arc<str>> {
        let mut paths = Vec::new();
        for text in self.texts(key).unwrap_or_default() {
            if text.value.starts_with('/') || text.value.split('/').any(|part| part == "..") {
                let what = format!("`{}` leaves the repository", text.value);
                self.problem(text.at, key, what, "write it relative to the repository's top, without `..`");
            } else {
                paths.push(Arc::from(text.value));
            }
        }
        paths
    }

    /// Whether the key is there and holds a text.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        let Some(value) = self.get(key) else { return default };
        if let DeValue::Boolean(flag) = value.get_ref() {
            return *flag;
        }
        self.wrong_type(key, value, "true or false");
        default
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(&self, key: &str, default: i64, least: i64, most: i64) -> i64 {
        let Some(value) = self.get(key) else { return default };
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number");
            return default;
        };
        match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                let what = format!("{digits} is out of range");
                self.problem(value.span().start, key, what, format!("write a number from {least} to {most}"));
                default
            }
        }
    }

    /// A count from `least` to `most`.
    pub(super) fn count(&self, key: &str, default: u32, least: u32, most: u32) -> u32 {
        let number = self.integer(key, default.into(), least.into(), most.into());
        u32::try_from(number).unwrap_or(default)
    }

    /// A duration in milliseconds.
    pub(super) fn duration(&self, key: &str, default: i64) -> i64 {
        self.quantity(key, parse_duration).unwrap_or(default)
    }

    /// A duration of at least `least` milliseconds.
    pub(super) fn duration_of_at_least(&self, key: &str, default: i64, least: i64) -> i64 {
        let parse = |text: &str| {
            let millis = parse_duration(text)?;
            if millis < least {
                Err(format!("`{text}` is too short ({least}ms at least)"))
            } else {
                Ok(millis)
            }
        };
        self.quantity(key, parse).unwrap_or(default)
    }

    /// A duration, or one of `words`, each standing for a value.
    pub(super) fn duration_or(
        &self,
        key: &str,
        words: &[(&str, Option<i64>)],
        default: Option<i64>,
    ) -> Option<i64> {
        let parse = |text: &str| match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => parse_duration(text).map(Some).map_err(|error| {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("{error} and not {}", words.join(" or "))
            }),
        };
        self.quantity(key, parse).unwrap_or(default)
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &str, default: u64) -> u64 {
        self.quantity(key, parse_size).unwrap_or(default)
    }

    fn quantity<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        parse(text.value)
            .map_err(|what| {
                let remedy = format!("write for example `{}`", keys::sample(self.name, key));
                self.problem(text.at, key, what, remedy);
            })
            .ok()
    }

    /// One of some words; the first is the default.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(key) else { return default };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return *meaning;
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let what = format!("`{}` is none of {}", text.value, quoted(&names));
        self.problem(text.at, key, what, keys::did_you_mean(text.value, &names));
        default
    }

    /// The table under `key`, read as `name`; empty when it is not there.
    pub(super) fn table(&self, key: &str, name: &'static str) -> Section<'a> {
        let Some(value) = self.get(key) else { return Section::new(self.source, name, None, self.at) };
        if let DeValue::Table(table) = value.get_ref() {
            return Section::new(self.source, name, Some(table), value.span().start);
        }
        self.wrong_type(key, value, "a table");
        Section::new(self.source, name, None, value.span().start)
    }

    /// The tables `[[key]]`, each read as `name`.
    pub(super) fn tables(&self, key: &str, name: &'static str) -> Vec<Section<'a>> {
        match self.get(key).map(|value| (value, value.get_ref())) {
            None => Vec::new(),
            Some((value, DeValue::Table(_))) => {
                let path = self.path(key);
                let remedy = format!("write `[[{path}]]`, with two brackets: there may be several");
                self.problem(value.span().start, key, "is one table", remedy);
                Vec::new()
            }
            Some(_) => {
                let values = self.array(key).unwrap_or_default();
                values.into_iter().filter_map(|value| self.nested(key, name, value)).collect()
            }
        }
    }

    /// An element of a list as a table.
    pub(super) fn nested(
        &self,
        key: &str,
        name: &'static str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Option<Section<'a>> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Section::new(self.origin(key).source, name, Some(table), value.span().start));
        }
        self.wrong_type(key, value, "a table");
        None
    }

    /// The tables `[key.NAME]` with their names, which are free; each is read as `name`.
    pub(super) fn named_tables(&self, key: &str, name: &'static str) -> Vec<(At<&'a str>, Section<'a>)> {
        let Some(value) = self.own(key) else { return Vec::new() };
        let DeValue::Table(tables) = value.get_ref() else {
            self.wrong_type(key, value, "tables with names");
            return Vec::new();
        };
        let named = tables.iter().filter_map(|(free, value)| {
            let text: &'a str = free.get_ref();
            let section = self.nested(key, name, value)?;
            Some((At { value: text, at: free.span().start }, section))
        });
        named.collect()
    }

    /// The names and texts of a table whose keys are free; not those of its base.
    pub(super) fn pairs(&self, key: &str) -> Vec<(At<&'a str>, At<&'a str>)> {
        let Some(value) = self.own(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            let text: &'a str = name.get_ref();
            let name = At { value: text, at: name.span().start };
            match value.get_ref() {
                DeValue::String(text) if !text.contains('\0') => {
                    pairs.push((name, At { value: text.as_ref(), at: value.span().start }));
                }
                DeValue::String(_) => self.problem(value.span().start, key, "contains a NUL", "remove it"),
                _ => self.wrong_type(key, value, "a text for each name"),
            }
        }
        pairs
    }
}

/// `words` in backquotes, separated by commas.
pub(super) fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// What people call the type of a value.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

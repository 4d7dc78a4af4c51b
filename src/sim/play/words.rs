//! Words of a line of a story, and what is wrong with them.

use std::fmt;

/// What is wrong with a line, said so that the writer can mend it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The word that is not understood; empty where it is none in particular.
    pub word: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}: ", self.line)?;
        }
        if !self.word.is_empty() {
            write!(f, "`{}`: ", self.word)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Words that begin another clause: after a comma they are no member of the list before it.
const CLAUSES: &[&str] = &[
    "takes",
    "lasts",
    "passes",
    "fails",
    "breaks",
    "vanishes",
    "hangs",
    "is",
    "reads",
    "in",
    "only",
    "ignores",
    "for",
    "of",
    "on",
    "with",
    "without",
    "attempts",
    "needs",
    "runs",
    "non-voting",
    "by",
    "to",
    "onto",
    "editing",
    "deleting",
    "writing",
    "reverting",
    "merging",
    "depends",
    "window",
    "serial",
    "strategy",
    "keeps",
    "lands",
    "merges",
    "branches",
    "files",
    "which",
    "that",
    "as",
    "does",
    "only",
    "adding",
    "breaking",
    "known",
    "after",
    "once",
    "and",
];

/// The outcome of reading a part of a line.
pub type Read<T> = Result<T, Problem>;

/// One word, or a text in quotation marks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// The word without what surrounds it.
    pub text: String,
    /// The same in small letters; empty for a text in quotation marks.
    pub small: String,
    /// It stood in quotation marks.
    pub quoted: bool,
    /// A comma follows.
    pub comma: bool,
    /// A colon follows.
    pub colon: bool,
    /// Where it begins in the line, in bytes.
    pub at: usize,
}

/// A line being read.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    number: usize,
    raw: &'a str,
    words: Vec<Word>,
    at: usize,
}

impl<'a> Line<'a> {
    /// The line `number` of a file.
    ///
    /// # Errors
    /// A quotation mark that is not closed.
    pub fn new(number: usize, raw: &'a str) -> Read<Self> {
        let words = split(raw).map_err(|word| Problem {
            line: number,
            word,
            what: "the quotation mark is not closed".into(),
            remedy: "close it on the same line".into(),
        })?;
        Ok(Self { number, raw, words, at: 0 })
    }

    /// How many words were taken.
    pub fn place(&self) -> usize {
        self.at
    }

    /// A word by its place from the beginning.
    pub fn word(&self, at: usize) -> Option<&Word> {
        self.words.get(at)
    }

    /// The next word.
    pub fn peek(&self) -> Option<&Word> {
        self.words.get(self.at)
    }

    /// The word after `n` others.
    pub fn peek_at(&self, n: usize) -> Option<&Word> {
        self.words.get(self.at + n)
    }

    /// Takes the next word.
    pub fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.at).cloned();
        self.at += usize::from(word.is_some());
        word
    }

    /// The word before the next one.
    pub fn last(&self) -> Option<&Word> {
        self.words.get(self.at.checked_sub(1)?)
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.at >= self.words.len()
    }

    /// Whether the next word is one of `options`.
    pub fn is(&self, options: &[&str]) -> bool {
        // `A` is a name, `a` an article.
        self.peek().is_some_and(|word| !word.quoted && word.text != "A" && options.contains(&&*word.small))
    }

    /// Takes the next word if it is one of `options`.
    pub fn eat(&mut self, options: &[&str]) -> bool {
        let found = self.is(options);
        self.at += usize::from(found);
        found
    }

    /// Takes all next words that are among `fillers`.
    pub fn skip(&mut self, fillers: &[&str]) {
        while self.eat(fillers) {}
    }

    /// Takes the words of one of the `phrases`, the first that fits.
    pub fn phrase(&mut self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| {
            let wanted: Vec<&str> = phrase.split(' ').collect();
            let there = self.words.get(self.at..self.at + wanted.len());
            let fits = there.is_some_and(|words| {
                words.iter().zip(&wanted).all(|(word, wanted)| !word.quoted && word.small == *wanted)
            });
            self.at += if fits { wanted.len() } else { 0 };
            fits
        })
    }

    /// The text from the next word to the end, as written.
    pub fn rest(&self) -> &'a str {
        self.peek().map_or("", |word| self.raw[word.at..].trim())
    }

    /// Takes all that is left, as one text; without quotation marks where the whole is in them.
    pub fn take_rest(&mut self) -> String {
        let alone = self.words.len() == self.at + 1;
        let text = match self.peek() {
            Some(word) if word.quoted && alone => word.text.clone(),
            _ => self.rest().to_owned(),
        };
        self.at = self.words.len();
        text
    }

    /// The next word, whatever it is.
    ///
    /// # Errors
    /// There is none: `what` is missing.
    pub fn need(&mut self, what: &str, sample: &str) -> Read<Word> {
        match self.next() {
            Some(word) => Ok(word),
            None => self.fault(format!("{what} is missing"), format!("write for example `{sample}`")),
        }
    }

    /// Complains about the next word, or about the end of the line.
    pub fn fault<T>(&self, what: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
        let word = self.peek().or_else(|| self.words.last()).map(|word| word.text.clone());
        Err(Problem {
            line: self.number,
            word: word.unwrap_or_default(),
            what: what.into(),
            remedy: remedy.into(),
        })
    }

    /// Complains about a word that was taken.
    pub fn fault_at<T>(&self, word: &str, what: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
        Err(Problem { line: self.number, word: word.into(), what: what.into(), remedy: remedy.into() })
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// The first word that is.
    pub fn end(&self, sample: &str) -> Read<()> {
        if self.is_over() {
            return Ok(());
        }
        self.fault("is not understood here", format!("write for example `{sample}`"))
    }

    /// Takes a duration, as in `10m`, `1h30m` or `10 minutes`.
    pub fn duration(&mut self) -> Option<i64> {
        let first = self.peek()?;
        if let Some(ms) = duration(&first.small) {
            self.at += 1;
            return Some(ms);
        }
        let number = if ["a", "an", "one"].contains(&&*first.small) { "1" } else { &*first.small };
        let unit = self.peek_at(1)?;
        let ms = duration(&format!("{number}{}", unit.small))?;
        self.at += 2;
        Some(ms)
    }

    /// Takes a number, in digits or in a word.
    pub fn count(&mut self) -> Option<u32> {
        let word = self.peek()?;
        let number = number(&word.small)?;
        self.at += 1;
        Some(number)
    }

    /// Takes a list of words that stand with commas or `and` between them.
    pub fn list(&mut self) -> Vec<String> {
        let mut items = Vec::new();
        while let Some(word) = self.next() {
            let more = word.comma;
            items.push(word.text);
            let and = self.eat(&["and", "&"]);
            if !and && (!more || self.is(CLAUSES)) {
                break;
            }
        }
        items
    }
}

/// A number in digits or in a word.
pub fn number(text: &str) -> Option<u32> {
    const WORDS: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let word = WORDS.iter().position(|word| *word == text).and_then(|number| u32::try_from(number).ok());
    let known = [("zero", 0), ("once", 1), ("twice", 2), ("never", 0)];
    word.or_else(|| known.iter().find(|(word, _)| *word == text).map(|(_, number)| *number))
        .or_else(|| text.parse().ok())
}

/// A duration in milliseconds, as in `90s`, `1h30m`, `500ms` or `0`.
pub fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
        let amount: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "ms" | "millisecond" | "milliseconds" => 1,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(amount.checked_mul(factor)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// Splits a line; fails with the word whose quotation mark is not closed.
fn split(raw: &str) -> Result<Vec<Word>, String> {
    let mut words: Vec<Word> = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let Some(c) = rest.chars().next() else { break };
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == ',' || c == ';' {
            if let Some(word) = words.last_mut() {
                word.comma = true;
            }
            at += 1;
        } else if c == '#' {
            break;
        } else if let Some(close) = closing(c) {
            let inner = &rest[c.len_utf8()..];
            let Some(end) = inner.find(close) else { return Err(rest.to_owned()) };
            words.push(word(&inner[..end], true, at));
            at += c.len_utf8() + end + close.len_utf8();
            if raw[at..].starts_with(':') {
                at += 1;
                words.last_mut().into_iter().for_each(|word| word.colon = true);
            }
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == ',' || c == ';').unwrap_or(rest.len());
            push_plain(&mut words, &rest[..end], at);
            at += end;
        }
    }
    join_sums(&mut words);
    Ok(words)
}

fn closing(c: char) -> Option<char> {
    match c {
        '"' => Some('"'),
        '“' => Some('”'),
        '`' => Some('`'),
        _ => None,
    }
}

fn word(text: &str, quoted: bool, at: usize) -> Word {
    let small = if quoted { String::new() } else { text.to_lowercase() };
    Word { text: text.to_owned(), small, quoted, comma: false, colon: false, at }
}

fn push_plain(words: &mut Vec<Word>, text: &str, at: usize) {
    let plain = text.trim_end_matches(':');
    if plain.is_empty() {
        words.last_mut().into_iter().for_each(|word| word.colon = true);
        return;
    }
    // A full stop ends a sentence, unless it belongs to a name as in `..`.
    let bare = plain.strip_suffix('.').filter(|bare| !bare.is_empty() && !bare.ends_with('.'));
    let mut made = word(bare.unwrap_or(plain), false, at);
    made.colon = plain.len() < text.len();
    words.push(made);
}

/// `A + B` is `A+B`.
fn join_sums(words: &mut Vec<Word>) {
    let mut at = 1;
    while at + 1 < words.len() {
        if words[at].text == "+" && !words[at].quoted {
            let next = words.remove(at + 1);
            words.remove(at);
            let sum = format!("{}+{}", words[at - 1].text, next.text);
            let begin = words[at - 1].at;
            words[at - 1] = Word { comma: next.comma, colon: next.colon, ..word(&sum, false, begin) };
        } else {
            at += 1;
        }
    }
}

/// `what` is not known; the nearest of what is, or all.
pub fn meant(word: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| name.as_ref().to_owned()).collect();
    let small = word.to_lowercase();
    let distance = |name: &String| strsim::damerau_levenshtein(&small, &name.to_lowercase());
    let nearest = known.iter().min_by_key(|name| distance(name));
    match nearest {
        Some(name) if distance(name) <= name.chars().count().div_ceil(3) => format!("did you mean `{name}`?"),
        Some(_) if known.len() <= 12 => format!("there is {}", quoted(&known)),
        Some(_) => format!("there is {} and others", quoted(&known[..12])),
        None => "nothing of the kind is declared in this story".into(),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, expected) in [
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("90s", Some(90_000)),
            ("500ms", Some(500)),
            ("2minutes", Some(120_000)),
            ("10", None),
            ("m", None),
            ("", None),
            ("99999999999999999h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        let mut line = Line::new(1, "10 minutes later").expect("a line");
        assert_eq!((line.duration(), line.rest()), (Some(600_000), "later"));
    }

    #[test]
    fn a_line_splits_into_words_texts_and_lists() {
        let line = Line::new(1, "on A + B, B: \"a, b\" x.y. # and so on").expect("a line");
        let words: Vec<(&str, bool, bool)> =
            line.words.iter().map(|word| (&*word.text, word.comma, word.colon)).collect();
        assert_eq!(
            words,
            [
                ("on", false, false),
                ("A+B", true, false),
                ("B", false, true),
                ("a, b", false, false),
                ("x.y", false, false)
            ]
        );
        assert!(Line::new(1, "told \"open").is_err());
    }

    #[test]
    fn what_was_meant_is_the_nearest_name() {
        assert_eq!(meant("aproove", ["approve", "abandon"]), "did you mean `approve`?");
        assert_eq!(meant("zzz", ["approve"]), "there is `approve`");
    }
}

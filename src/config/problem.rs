//! What is wrong with a configuration, said so that the reader can mend it: place, key, fault, remedy.

use std::cell::RefCell;
use std::fmt;

/// One fault. A configuration with a problem is not used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The file, as the reader knows it.
    pub file: String,
    /// The line, from 1; `None` when the fault is the file's as a whole.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The key with its table, for example `queue.strategy`; empty when there is none.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Whether something is absent: not worth saying beside a syntax error, which may hide it.
    pub(super) absence: bool,
}

/// Something that works but is probably not meant; written like a [`Problem`].
pub type Warning = Problem;

impl Problem {
    /// A fault of the whole file.
    pub(super) fn of_file(file: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            key: String::new(),
            what: what.into(),
            remedy: remedy.into(),
            absence: false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": key `{}`", self.key)?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

/// A text being read, with all that was found wrong so far.
pub(super) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    columns: bool,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

impl<'a> Source<'a> {
    /// The file called `name`; `columns` says whether places are given with their column.
    pub(super) fn new(name: &'a str, text: &'a str, columns: bool) -> Self {
        Self { name, text, columns, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// The text.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    fn at(&self, at: usize, key: &str, what: String, remedy: String) -> Problem {
        let (line, column) = place(self.text, at);
        Problem {
            file: self.name.to_owned(),
            line: Some(line),
            column: self.columns.then_some(column),
            key: key.to_owned(),
            what,
            remedy,
            absence: false,
        }
    }

    /// Notes a fault at byte `at`.
    pub(super) fn problem(&self, at: usize, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = self.at(at, key, what.into(), remedy.into());
        self.problems.borrow_mut().push(problem);
    }

    /// Notes that something is not there.
    pub(super) fn absent(&self, at: usize, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem { absence: true, ..self.at(at, key, what.into(), remedy.into()) };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes something that is probably not meant.
    pub(super) fn warn(&self, at: usize, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let warning = self.at(at, key, what.into(), remedy.into());
        self.warnings.borrow_mut().push(warning);
    }

    /// Notes the faults of syntax that the parser found.
    pub(super) fn syntax(&self, errors: &[toml::de::Error]) {
        for error in errors {
            let what = error.message().trim().replace('\n', ", ");
            let at = error.span().map_or(0, |span| span.start);
            self.problem(at, "", what, "correct the TOML syntax there");
        }
    }

    /// All problems and warnings, in the order of the file. Beside faults of syntax only those that
    /// they cannot have caused are kept.
    pub(super) fn finish(self, syntax_errors: usize) -> (Vec<Problem>, Vec<Warning>) {
        let mut problems = self.problems.into_inner();
        if syntax_errors > 0 {
            let lines: Vec<_> = problems.iter().take(syntax_errors).map(|problem| problem.line).collect();
            let mut index = 0;
            problems.retain(|problem| {
                index += 1;
                index <= syntax_errors || !(problem.absence || lines.contains(&problem.line))
            });
        }
        problems.sort();
        problems.dedup();
        let mut warnings = self.warnings.into_inner();
        warnings.sort();
        (problems, warnings)
    }
}

/// Line and column (in characters), both from 1, of the byte `at`.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    (line, 1 + String::from_utf8_lossy(&before[start..]).chars().count())
}

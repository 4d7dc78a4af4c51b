//! The language of change queries, as far as the daemon and people use it.

use super::accounts::Person;
use super::refusal::Refusal;
use super::site::State;
use crate::model::{ChangeStatus, Sha, Timestamp};
use crate::world::Change;

/// Deepest nesting.
const DEEPEST: usize = 50;

/// A query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// All of these.
    All(Vec<Query>),
    /// One of these.
    Any(Vec<Query>),
    /// Not this.
    Not(Box<Query>),
    /// An operator with its value; a bare word has an empty operator.
    Term(String, String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Word {
    Open,
    Close,
    Minus,
    Text(String),
}

/// Cuts a query into words; quotes and braces keep what is in them together.
fn words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' => {}
            '(' => words.push(Word::Open),
            ')' => words.push(Word::Close),
            '-' => words.push(Word::Minus),
            _ => {
                let mut word = String::new();
                let mut next = Some(char);
                while let Some(char) = next {
                    match char {
                        '"' => loop {
                            match chars.next()? {
                                '"' => break,
                                '\\' => word.push(chars.next()?),
                                char => word.push(char),
                            }
                        },
                        '{' => loop {
                            match chars.next()? {
                                '}' => break,
                                char => word.push(char),
                            }
                        },
                        char => word.push(char),
                    }
                    next = chars.next_if(|char| !" \t()".contains(*char));
                }
                words.push(Word::Text(word));
            }
        }
    }
    Some(words)
}

/// Reads a query.
///
/// # Errors
/// 400 for one that makes no sense.
pub fn read(text: &str) -> Result<Query, Refusal> {
    let invalid = || Refusal::bad(format!("line 1:{} no viable alternative at input '<EOF>'", text.len()));
    let words = words(text).ok_or_else(invalid)?;
    let mut rest = &words[..];
    let query = any(&mut rest, 0).ok_or_else(invalid)?;
    if rest.is_empty() { Ok(query) } else { Err(invalid()) }
}

fn is_word(rest: &[Word], wanted: &str) -> bool {
    matches!(rest.first(), Some(Word::Text(word)) if word == wanted)
}

fn any(rest: &mut &[Word], depth: usize) -> Option<Query> {
    if depth > DEEPEST {
        return None;
    }
    let mut all_of = vec![all(rest, depth)?];
    while is_word(rest, "OR") {
        *rest = &rest[1..];
        all_of.push(all(rest, depth)?);
    }
    Some(if all_of.len() == 1 { all_of.remove(0) } else { Query::Any(all_of) })
}

fn all(rest: &mut &[Word], depth: usize) -> Option<Query> {
    let mut terms = vec![one(rest, depth)?];
    while !(rest.is_empty() || rest[0] == Word::Close || is_word(rest, "OR")) {
        if is_word(rest, "AND") {
            *rest = &rest[1..];
        }
        terms.push(one(rest, depth)?);
    }
    Some(if terms.len() == 1 { terms.remove(0) } else { Query::All(terms) })
}

fn one(rest: &mut &[Word], depth: usize) -> Option<Query> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    match first {
        Word::Minus => Some(Query::Not(Box::new(one(rest, depth)?))),
        Word::Text(word) if word == "NOT" => Some(Query::Not(Box::new(one(rest, depth)?))),
        Word::Text(word) if word == "OR" || word == "AND" => None,
        Word::Text(word) => Some(match word.split_once(':') {
            Some((operator, value)) => Query::Term(operator.to_owned(), value.to_owned()),
            None => Query::Term(String::new(), word.clone()),
        }),
        Word::Open => {
            let inner = any(rest, depth + 1)?;
            let (close, others) = rest.split_first()?;
            *rest = others;
            (*close == Word::Close).then_some(inner)
        }
        Word::Close => None,
    }
}

impl Query {
    /// The largest number of rows that the query itself asks for.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::All(parts) => parts.iter().find_map(Self::limit),
            Self::Term(operator, value) if operator == "limit" => value.parse().ok(),
            _ => None,
        }
    }

    /// Whether a change is found.
    ///
    /// # Errors
    /// 400 for an operator that there is not.
    pub fn finds(&self, state: &State, change: &Change, reader: Option<&Person>) -> Result<bool, Refusal> {
        match self {
            Self::All(parts) => {
                parts.iter().try_fold(true, |found, part| Ok(part.finds(state, change, reader)? && found))
            }
            Self::Any(parts) => {
                parts.iter().try_fold(false, |found, part| Ok(part.finds(state, change, reader)? || found))
            }
            Self::Not(part) => part.finds(state, change, reader).map(|found| !found),
            Self::Term(operator, value) => term(state, change, reader, operator, value),
        }
    }
}

fn term(
    state: &State,
    change: &Change,
    reader: Option<&Person>,
    operator: &str,
    value: &str,
) -> Result<bool, Refusal> {
    let is_me = |account: &str| match value {
        "self" | "me" => reader.is_some_and(|reader| reader.user == account),
        _ => value == account || value == format!("{account}@example.com"),
    };
    let since = |value: &str| time(value).ok_or_else(|| Refusal::bad(format!("invalid value: {value}")));
    let updated = change.updated_at.0.div_euclid(1000);
    Ok(match operator {
        "status" => has_state(change, value).ok_or_else(|| unsupported(operator, value))?,
        "is" => has_state(change, value).ok_or_else(|| unsupported(operator, value))?,
        "project" | "p" | "repo" | "repository" => change.pair.repository.as_str() == value,
        "branch" | "b" => change.pair.branch.as_str() == value.trim_start_matches("refs/heads/"),
        "ref" => value == format!("refs/heads/{}", change.pair.branch),
        "change" => is_change(change, value),
        "commit" => change.patchsets.iter().any(|patch| patch.commit.to_string().starts_with(value)),
        "owner" | "o" => is_me(change.owner.as_str()),
        "reviewer" | "r" => change.reviewers.iter().any(|reviewer| is_me(reviewer.as_str())),
        "topic" => change.topic.as_deref().unwrap_or_default() == value,
        "hashtag" => change.hashtags.iter().any(|tag| tag.eq_ignore_ascii_case(value)),
        "after" | "since" => updated >= since(value)?.0.div_euclid(1000),
        "before" | "until" => updated < since(value)?.0.div_euclid(1000),
        "label" => has_vote(change, value).ok_or_else(|| unsupported(operator, value))?,
        "message" | "m" => message(state, change).contains(&value.to_lowercase()),
        "limit" => true,
        "" => {
            is_change(change, value)
                || (Sha::parse(value).is_some()
                    && change.patchsets.iter().any(|patch| patch.commit.to_string() == value))
                || message(state, change).contains(&value.to_lowercase())
        }
        _ => return Err(unsupported(operator, value)),
    })
}

fn unsupported(operator: &str, value: &str) -> Refusal {
    Refusal::bad(format!("Unsupported operator {operator}:{value}"))
}

fn message(state: &State, change: &Change) -> String {
    let commit = state.gerrit.git.commit(change.revision());
    commit.map(|commit| commit.message.to_lowercase()).unwrap_or_default()
}

fn has_state(change: &Change, value: &str) -> Option<bool> {
    Some(match value {
        "open" | "pending" | "new" => change.status == ChangeStatus::Open,
        "closed" => change.status != ChangeStatus::Open,
        "merged" => change.status == ChangeStatus::Merged,
        "abandoned" => change.status == ChangeStatus::Abandoned,
        "wip" => change.work_in_progress,
        "private" => change.private,
        "submittable" => change.is_submittable(),
        _ => return None,
    })
}

fn is_change(change: &Change, value: &str) -> bool {
    match value.split('~').collect::<Vec<_>>()[..] {
        [id] => id == change.number.to_string() || id == change.change_id.as_str(),
        [project, number] => {
            project == change.pair.repository.as_str() && number == change.number.to_string()
        }
        [project, branch, id] => {
            (project, branch, id)
                == (change.pair.repository.as_str(), change.pair.branch.as_str(), change.change_id.as_str())
        }
        _ => false,
    }
}

/// `Code-Review>=2`, `Verified=MAX`, `Code-Review=+2,user=bob`.
fn has_vote(change: &Change, value: &str) -> Option<bool> {
    let (value, user) = match value.split_once(',') {
        Some((value, user)) => (value, Some(user.trim_start_matches("user="))),
        None => (value, None),
    };
    let at = value.find(['<', '>', '=', '+'])?;
    let (label, rest) = value.split_at(at);
    let digits = rest.trim_start_matches(['<', '>', '=']);
    let sign = &rest[..rest.len() - digits.len()];
    let rule = crate::world::labels::label(label);
    let wanted: i32 = match digits {
        "MAX" => rule?.max(),
        "MIN" => rule?.min(),
        digits => digits.parse().ok()?,
    };
    let votes = || {
        let own = change.votes.iter().filter(|vote| vote.label.as_str() == label);
        own.filter(|vote| user.is_none_or(|user| vote.by.as_str() == user))
    };
    let fits = |given: i32| match sign {
        ">=" => given >= wanted,
        ">" => given > wanted,
        "<=" => given <= wanted,
        "<" => given < wanted,
        _ => given == wanted,
    };
    Some(votes().any(|vote| fits(vote.value)) || (votes().next().is_none() && rule.is_some() && fits(0)))
}

/// A day, or a day and a time of day, in UTC.
fn time(text: &str) -> Option<Timestamp> {
    let civil = text.parse::<jiff::civil::DateTime>().ok().or_else(|| {
        let day: jiff::civil::Date = text.parse().ok()?;
        Some(day.at(0, 0, 0, 0))
    })?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(operator: &str, value: &str) -> Query {
        Query::Term(operator.into(), value.into())
    }

    #[test]
    fn queries_are_read_as_people_write_them() {
        for (text, expected) in [
            ("status:open", term("status", "open")),
            ("project:\"a b\"", term("project", "a b")),
            ("change:1 OR change:2", Query::Any(vec![term("change", "1"), term("change", "2")])),
            (
                "is:open -(owner:a OR owner:b)",
                Query::All(vec![
                    term("is", "open"),
                    Query::Not(Box::new(Query::Any(vec![term("owner", "a"), term("owner", "b")]))),
                ]),
            ),
            ("a AND NOT b", Query::All(vec![term("", "a"), Query::Not(Box::new(term("", "b")))])),
            ("label:Code-Review>=2", term("label", "Code-Review>=2")),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["(", "a OR", ")", "\"open", "a)", &"(".repeat(10_000), "OR"] {
            assert_eq!(read(text).map_err(|refusal| refusal.status), Err(400), "{text:.20}");
        }
    }

    #[test]
    fn times_are_days_or_moments() {
        assert_eq!(time("1970-01-02"), Some(Timestamp(86_400_000)));
        assert_eq!(time("1970-01-01 00:00:02"), Some(Timestamp(2_000)));
        assert_eq!(time("soon"), None);
    }
}

//! Sites: sets of repositories that are deployed together, and which of them hang together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Branch, Patterns, Repository, SiteName};

/// A site as an operator declares it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SitePolicy {
    /// Its name.
    pub name: SiteName,
    /// Its repositories, named or by patterns.
    pub repositories: Patterns,
    /// The branch that is read where a repository has none of the home's name; else its default branch.
    pub branch: Option<Branch>,
    /// Whether the jobs of its repositories read all of them.
    pub inputs: bool,
}

impl SitePolicy {
    /// Whether `repository` is one of its repositories.
    pub fn has(&self, repository: &Repository) -> bool {
        self.repositories.matches(repository.as_str())
    }
}

/// The groups of sites that hang together: sites that can share a repository are in one group, and so are
/// those that hang together by way of others. Each group has places in `sites`, in order; groups are in
/// the order of their first site.
pub fn groups(sites: &[SitePolicy]) -> Vec<Vec<usize>> {
    let mut union = Union((0..sites.len()).collect());
    let mut literals: BTreeMap<&str, usize> = BTreeMap::new();
    let mut globs = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        for pattern in &site.repositories.0 {
            match pattern.literal() {
                Some(name) => union.join(*literals.entry(name).or_insert(at), at),
                None => globs.push((at, pattern)),
            }
        }
    }
    for (place, (at, glob)) in globs.iter().enumerate() {
        for (name, other) in &literals {
            if !union.are_joined(*at, *other) && glob.matches(name) {
                union.join(*at, *other);
            }
        }
        for (other, second) in &globs[..place] {
            if !union.are_joined(*at, *other) && glob.meets(second) {
                union.join(*at, *other);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..sites.len() {
        groups.entry(union.find(at)).or_default().push(at);
    }
    groups.into_values().collect()
}

/// Union-find; the root of a set is its least member.
struct Union(Vec<usize>);

impl Union {
    fn find(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn are_joined(&mut self, one: usize, other: usize) -> bool {
        self.find(one) == self.find(other)
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sites: &[&[&str]], expected: &[&[usize]]) {
        let site = |repositories: &&[&str]| SitePolicy {
            name: "site".into(),
            repositories: Patterns::new(repositories),
            branch: None,
            inputs: true,
        };
        let sites: Vec<SitePolicy> = sites.iter().map(site).collect();
        assert_eq!(groups(&sites), expected, "{sites:?}");
    }

    #[test]
    fn sites_that_share_a_repository_are_one_group_also_by_way_of_others() {
        check(&[], &[]);
        check(&[&["core", "maps"], &["core", "video"], &["blob"]], &[&[0, 1], &[2]]);
        check(&[&["a"], &["b"], &["a", "b"]], &[&[0, 1, 2]]);
        check(&[&["web/*"], &["mobile/*"], &["web/app"]], &[&[0, 2], &[1]]);
        check(&[&["*-api"], &["x"], &["web-*"]], &[&[0, 2], &[1]]);
        check(&[&["a"], &["b"], &["c"], &["?"]], &[&[0, 1, 2, 3]]);
        check(&[&["a"], &["b*"], &["c*"], &["d"], &["*c", "d"]], &[&[0], &[1, 2, 3, 4]]);
    }
}

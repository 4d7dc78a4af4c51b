//! The accounts: who they are, how they sign in, and whether they are people.

use std::collections::BTreeMap;

use russh::keys::PublicKey;
use serde_json::{Value, json};

use crate::model::Account;

/// Who may do everything.
pub const ADMIN: &str = "admin";
/// The account of a daemon.
pub const BOT: &str = "bot";

/// An account of the stand-in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The number by which Gerrit names it.
    pub id: u64,
    /// The user name.
    pub user: String,
    /// The name for people.
    pub name: String,
    /// The address that its commits must have.
    pub email: String,
    /// The HTTP token.
    pub token: String,
    /// Whether it is a program.
    pub is_service: bool,
}

impl Person {
    fn new(id: u64, user: &str, name: &str, token: &str) -> Self {
        let email = format!("{user}@example.com");
        Self { id, user: user.into(), name: name.into(), email, token: token.into(), is_service: user == BOT }
    }

    /// The account in the model.
    pub fn account(&self) -> Account {
        self.user.as_str().into()
    }

    /// Whether it may do everything.
    pub fn is_admin(&self) -> bool {
        self.user == ADMIN
    }

    /// All of it, as in REST answers with details.
    pub fn detailed(&self) -> Value {
        let mut value = json!({
            "_account_id": self.id,
            "name": self.name,
            "email": self.email,
            "username": self.user,
        });
        if self.is_service {
            value["tags"] = json!(["SERVICE_USER"]);
        }
        value
    }

    /// As in events.
    pub fn in_event(&self) -> Value {
        json!({ "name": self.name, "email": self.email, "username": self.user })
    }
}

/// All accounts.
#[derive(Debug, Default)]
pub struct Accounts {
    people: BTreeMap<Account, Person>,
    keys: BTreeMap<Account, Vec<PublicKey>>,
}

impl Accounts {
    /// An administrator, two people and a bot. Their tokens are no secret.
    pub fn standard() -> Self {
        let people = [
            Person::new(1_000_000, ADMIN, "Administrator", "secret"),
            Person::new(1_000_001, "alice", "Alice", "alice"),
            Person::new(1_000_002, "bob", "Bob", "bob"),
            Person::new(1_000_003, BOT, "Bot", "bot/token+1"),
        ];
        let people = people.into_iter().map(|person| (person.account(), person)).collect();
        Self { people, keys: BTreeMap::new() }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// The account of this user name.
    pub fn get(&self, account: &Account) -> Option<&Person> {
        self.people.get(account)
    }

    /// The account named by number, user name or address.
    pub fn find(&self, text: &str) -> Option<&Person> {
        let is = |person: &&Person| {
            person.user == text || person.email == text || text.parse::<u64>().is_ok_and(|id| id == person.id)
        };
        self.people.values().find(is)
    }

    /// Whose token this is.
    pub fn sign_in(&self, user: &str, token: &str) -> Option<&Person> {
        self.people.get(&Account::from(user)).filter(|person| person.token == token)
    }

    /// Lets a key sign in.
    pub fn add_key(&mut self, user: &str, key: PublicKey) {
        self.keys.entry(user.into()).or_default().push(key);
    }

    /// Whether a key is one of an account's.
    pub fn has_key(&self, user: &str, key: &PublicKey) -> bool {
        let keys = self.keys.get(&Account::from(user)).into_iter().flatten();
        keys.into_iter().any(|known| known.key_data() == key.key_data())
    }
}

//! One connection of `gerrit stream-events` over SSH: host key checked, alive or ended, never
//! silently dead.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle, Handler, Msg};
use russh::keys::{PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, known_hosts, load_secret_key};
use russh::{Channel, ChannelMsg, Disconnect, Preferred};
use tokio::time::timeout;

/// Longest wait for each step of a connection.
const STEP: Duration = Duration::from_secs(20);
/// Silence after which the server is asked whether it is there; after three questions it is not.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub struct Address {
    /// The host.
    pub host: String,
    /// The port, 29418 by default.
    pub port: u16,
    /// The account.
    pub user: String,
    /// Its private key.
    pub key: PathBuf,
    /// The hosts' keys.
    pub known_hosts: PathBuf,
}

/// Why there is no event stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// The known_hosts file has no key for the server.
    #[error(
        "trust the SSH server: {known_hosts} has no key for [{host}]:{port}; compare `ssh-keyscan -p {port} {host}` with what the server's operator says, and add its output to that file"
    )]
    UnknownHost {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The file.
        known_hosts: String,
    },
    /// The server showed another key than the file has.
    #[error(
        "trust the SSH server: [{host}]:{port} has another key than {known_hosts} says; if its operator confirms the new key, replace the line by the output of `ssh-keyscan -p {port} {host}`"
    )]
    OtherHostKey {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The file.
        known_hosts: String,
    },
    /// The private key cannot be used.
    #[error("use the SSH key {path}: {why}; make one with `ssh-keygen -t ed25519 -N '' -f {path}`")]
    Key {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server does not accept the key.
    #[error(
        "sign in over SSH: the server refused the key of account {user}; add the public key to that account in Gerrit (Settings, SSH Keys)"
    )]
    Denied {
        /// The account.
        user: String,
    },
    /// The command ended.
    #[error("stream events: {0}")]
    Ended(String),
    /// The network, or the server.
    #[error("reach the SSH server: {0}")]
    Unreachable(String),
}

/// The public half of the private key in a file, as Gerrit takes it.
///
/// # Errors
/// When the file cannot be used, with the remedy.
pub(super) fn public_key(path: &Path) -> Result<String, SshError> {
    let unusable = |why: String| SshError::Key { path: path.display().to_string(), why };
    let key = load_secret_key(path, None).map_err(|error| unusable(error.to_string()))?;
    key.public_key().to_openssh().map_err(|error| unusable(error.to_string()))
}

struct Checker {
    trusted: Vec<PublicKey>,
}

impl Handler for Checker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let shown = key.public_key();
        Ok(self.trusted.iter().any(|trusted| trusted.key_data() == shown.key_data()))
    }
}

/// An open stream.
pub struct Stream {
    session: Handle<Checker>,
    channel: Channel<Msg>,
}

impl Address {
    fn unreachable(error: impl std::fmt::Display) -> SshError {
        SshError::Unreachable(error.to_string())
    }

    fn trusted(&self) -> Result<Vec<PublicKey>, SshError> {
        let keys = known_hosts::known_host_keys_path(&self.host, self.port, &self.known_hosts);
        let keys: Vec<PublicKey> = keys.unwrap_or_default().into_iter().map(|(_, key)| key).collect();
        if keys.is_empty() {
            let known_hosts = self.known_hosts.display().to_string();
            return Err(SshError::UnknownHost { host: self.host.clone(), port: self.port, known_hosts });
        }
        Ok(keys)
    }

    /// Connects, signs in and starts the stream.
    ///
    /// # Errors
    /// See [`SshError`]; each says what to do.
    pub async fn open(&self) -> Result<Stream, SshError> {
        let path = self.key.display().to_string();
        let key = load_secret_key(&self.key, None)
            .map_err(|error| SshError::Key { path, why: error.to_string() })?;
        let trusted = self.trusted()?;
        let algorithms = trusted.iter().map(PublicKey::algorithm).collect::<Vec<_>>();
        let config = client::Config {
            preferred: Preferred { key: Cow::Owned(algorithms), ..Preferred::default() },
            keepalive_interval: Some(KEEP_ALIVE),
            keepalive_max: 3,
            nodelay: true,
            ..client::Config::default()
        };
        let connecting =
            client::connect(Arc::new(config), (self.host.as_str(), self.port), Checker { trusted });
        let mut session = match timeout(STEP, connecting)
            .await
            .map_err(|_| Self::unreachable("no answer in time"))?
        {
            Ok(session) => session,
            Err(russh::Error::UnknownKey | russh::Error::NoCommonAlgo { .. }) => {
                let known_hosts = self.known_hosts.display().to_string();
                return Err(SshError::OtherHostKey { host: self.host.clone(), port: self.port, known_hosts });
            }
            Err(error) => return Err(Self::unreachable(error)),
        };
        let signing =
            session.authenticate_publickey(&self.user, PrivateKeyWithHashAlg::new(Arc::new(key), None));
        let signed =
            timeout(STEP, signing).await.map_err(|_| Self::unreachable("no answer to the sign-in"))?;
        if !signed.map_err(Self::unreachable)?.success() {
            return Err(SshError::Denied { user: self.user.clone() });
        }
        let opening = async {
            let channel = session.channel_open_session().await?;
            channel.exec(true, "gerrit stream-events").await?;
            Ok::<_, russh::Error>(channel)
        };
        let channel =
            timeout(STEP, opening).await.map_err(|_| Self::unreachable("no answer to the command"))?;
        let mut stream = Stream { session, channel: channel.map_err(Self::unreachable)? };
        stream.accepted().await?;
        Ok(stream)
    }
}

impl Stream {
    /// Waits until the server has taken the command, so that a catch-up begun now misses nothing.
    async fn accepted(&mut self) -> Result<(), SshError> {
        loop {
            match timeout(STEP, self.channel.wait()).await {
                Ok(Some(ChannelMsg::Success)) => return Ok(()),
                Ok(Some(ChannelMsg::Failure) | None) => {
                    return Err(SshError::Ended("the server refused the command".into()));
                }
                Ok(Some(_)) => {}
                Err(_) => return Err(SshError::Unreachable("no answer to the command".into())),
            }
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// When the stream has ended, with the server's words if it said any.
    pub async fn next(&mut self) -> Result<Vec<u8>, SshError> {
        let mut words = String::new();
        loop {
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => return Ok(data.to_vec()),
                Some(ChannelMsg::ExtendedData { data, .. }) if words.len() < 500 => {
                    words.push_str(&String::from_utf8_lossy(&data));
                }
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(ended(&words)),
                Some(_) => {}
            }
        }
    }

    /// Says good-bye.
    pub async fn close(self) {
        let farewell = self.session.disconnect(Disconnect::ByApplication, "", "en");
        let _ = timeout(Duration::from_secs(1), farewell).await;
    }
}

fn ended(words: &str) -> SshError {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.contains("stream events") || words.contains("not permitted") {
        return SshError::Ended(format!(
            "{words}; give the account the global capability Stream Events, for example by adding it to the group Service Users"
        ));
    }
    let words = if words.is_empty() { "the server closed the connection".to_owned() } else { words };
    SshError::Ended(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_key_is_refused_with_the_remedy() {
        let address = Address {
            host: "gerrit.example.org".into(),
            port: 29418,
            user: "bot".into(),
            key: "key".into(),
            known_hosts: "none/known_hosts".into(),
        };
        let words = address.trusted().unwrap_err().to_string();
        assert!(words.contains("ssh-keyscan -p 29418 gerrit.example.org"), "{words}");
    }

    #[test]
    fn a_missing_capability_names_its_remedy() {
        assert!(ended("fatal: stream events not permitted").to_string().contains("Service Users"));
        assert!(ended("").to_string().contains("closed the connection"));
    }
}

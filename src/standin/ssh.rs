//! The SSH server: `gerrit stream-events` and `gerrit version`, for accounts with a key.

use std::collections::HashMap;
use std::io::{Error, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::rest::VERSION;
use super::site::Shared;

/// A new key, from the system's own randomness.
///
/// # Errors
/// When the system gives none.
pub fn new_key() -> std::io::Result<PrivateKey> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "stand-in").map_err(Error::other)
}

/// Makes a key, writes it to `path` for its owner's eyes only, and gives its public half.
///
/// # Errors
/// When it cannot be written.
pub fn write_key(path: &Path) -> std::io::Result<PublicKey> {
    let key = new_key()?;
    let text = key.to_openssh(LineEnding::LF).map_err(Error::other)?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(key.public_key().clone())
}

/// `TYPE KEY`.
///
/// # Errors
/// When the key cannot be written down.
pub fn public_line(key: &PrivateKey) -> std::io::Result<String> {
    let line = key.public_key().to_openssh().map_err(Error::other)?;
    Ok(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// Serves until it is dropped; its connections end with it.
pub async fn serve(listener: TcpListener, site: Shared, key: PrivateKey) {
    let config = Arc::new(server::Config {
        auth_rejection_time: Duration::from_millis(200),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        inactivity_timeout: None,
        nodelay: true,
        ..server::Config::default()
    });
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (config, client) =
            (config.clone(), Client { site: site.clone(), user: None, channels: HashMap::new() });
        connections.spawn(async move {
            // How a connection ends is its client's business.
            if let Ok(session) = server::run_stream(config, stream, client).await {
                let _ = session.await;
            }
        });
    }
}

/// One connection.
struct Client {
    site: Shared,
    user: Option<String>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        if self.site.accounts.has_key(user, key.public_key) {
            self.user = Some(user.to_owned());
            return Ok(Auth::Accept);
        }
        Ok(Auth::reject())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        let person = self.user.as_deref().and_then(|user| self.site.accounts.find(user)).cloned();
        let (Some(channel), Some(person)) = (self.channels.remove(&id), person) else {
            session.channel_failure(id)?;
            return Ok(());
        };
        let words: Vec<&str> = command.split_whitespace().collect();
        let site = self.site.clone();
        match words[..] {
            ["gerrit", "version", ..] => end(session, channel, format!("gerrit version {VERSION}\n"), "", 0),
            ["gerrit", "stream-events", ref options @ ..] if person.may_stream() => {
                // From here on nothing is missed: the client is told only when the queue is there.
                let events = site.bus.subscribe(person.account(), person.is_admin(), types(options));
                session.channel_success(id)?;
                tokio::spawn(stream(channel, events));
                Ok(())
            }
            ["gerrit", "stream-events", ..] => {
                end(session, channel, String::new(), "fatal: stream events not permitted\n", 1)
            }
            ["gerrit", name, ..] => {
                end(session, channel, String::new(), &format!("fatal: gerrit: {name}: not found\n"), 1)
            }
            _ => {
                let name = words.first().copied().unwrap_or_default();
                end(session, channel, String::new(), &format!("fatal: {name}: not found\n"), 127)
            }
        }
    }
}

/// The types that a client wants, `-s TYPE` each.
fn types(options: &[&str]) -> Vec<String> {
    let mut types = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if matches!(*option, "-s" | "--subscribe") {
            types.extend(options.next().map(|name| (*name).to_owned()));
        }
    }
    types
}

/// Says something and closes the channel.
fn end(
    session: &mut Session,
    channel: Channel<Msg>,
    said: String,
    complaint: &str,
    status: u32,
) -> Result<(), russh::Error> {
    session.channel_success(channel.id())?;
    let complaint = complaint.to_owned();
    tokio::spawn(async move {
        // A client that went away meanwhile needs no answer.
        let _ = channel.data_bytes(said.into_bytes()).await;
        let _ = channel.extended_data_bytes(1, complaint.into_bytes()).await;
        let _ = channel.exit_status(status).await;
        let _ = channel.eof().await;
        let _ = channel.close().await;
    });
    Ok(())
}

/// Sends events until the client is gone. A client that does not read stops this, and its queue fills.
async fn stream(mut channel: Channel<Msg>, mut events: tokio::sync::mpsc::Receiver<String>) {
    let mut writer = channel.make_writer();
    loop {
        tokio::select! {
            event = events.recv() => {
                let Some(line) = event else { break };
                if writer.write_all(line.as_bytes()).await.is_err() || writer.flush().await.is_err() {
                    break;
                }
            }
            message = channel.wait() => match message {
                None | Some(russh::ChannelMsg::Close) => break,
                // An end of its input is none of the client: it may have nothing to say.
                Some(_) => {}
            },
        }
    }
    // The client has gone, or does so now.
    let _ = channel.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_types() {
        assert_eq!(types(&["-s", "a", "--subscribe", "b", "-x"]), ["a", "b"]);
        assert!(types(&[]).is_empty());
    }
}

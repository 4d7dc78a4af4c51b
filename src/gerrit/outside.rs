//! Where the adapter meets the network: the two things that a test in virtual time replaces.

use futures_util::future::BoxFuture;
use reqwest::{Client, Request, StatusCode};

use super::rest::{RestError, read_body};
use super::ssh::{Address, SshError, Stream};

/// Carries a request to the server and its answer back.
pub(super) trait Exchange: Send + Sync {
    /// The status and the body, whatever they say.
    ///
    /// # Errors
    /// When there is no answer.
    fn exchange(&self, request: Request) -> BoxFuture<'_, Result<(StatusCode, Vec<u8>), RestError>>;
}

impl Exchange for Client {
    fn exchange(&self, request: Request) -> BoxFuture<'_, Result<(StatusCode, Vec<u8>), RestError>> {
        Box::pin(async move { read_body(self.execute(request).await).await })
    }
}

/// Where events come from.
pub(super) trait Source: Send + Sync {
    /// Opens the stream: what happens from now on is in it.
    ///
    /// # Errors
    /// See [`SshError`].
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Events>, SshError>>;
}

/// An open stream of events.
pub(super) trait Events: Send {
    /// The next bytes.
    ///
    /// # Errors
    /// When the stream has ended.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<u8>, SshError>>;

    /// Says good-bye.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

impl Source for Address {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Events>, SshError>> {
        Box::pin(async move { Ok(Box::new(Address::open(self).await?) as Box<dyn Events>) })
    }
}

impl Events for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<u8>, SshError>> {
        Box::pin(Stream::next(self))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(Stream::close(*self))
    }
}

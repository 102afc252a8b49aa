//! Requests to a certificate authority and its answers, bounded in time and memory.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    Request,
    body::Bytes,
    header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use tokio::time::timeout;

use crate::{https::HttpsClient, log};

/// How long one request may take to its last octet.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// What an answer may hold: chains of certificates are the longest, of a few KiB.
const BODY_OCTETS_MAX: usize = 256 * 1024;

/// The longest wait that an authority may ask for. Longer ones would overflow a clock.
const RETRY_AFTER_MAX: u64 = 24 * 60 * 60;

const AGENT: &str = concat!("restante/", env!("CARGO_PKG_VERSION"));

/// A client of one authority, for one attempt.
#[derive(Clone)]
pub(super) struct Http {
    client: HttpsClient<BodyWrapper<Bytes>>,
    patience: Patience,
}

/// How long the authority asks to be left alone, if it has refused something.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(Arc<Mutex<Option<Duration>>>);

/// What is wrong with an answer, beside what the library says.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("leads to an address that is not `https://`")]
    Cleartext,
    #[error("does not answer in time")]
    TooSlow,
    #[error("answers with more than {BODY_OCTETS_MAX} octets")]
    TooLong,
    #[error("breaks its answer off: {0}")]
    Broken(String),
    #[error("answers with HTTP status {0} and no reason")]
    Status(u16),
}

impl Http {
    pub(super) fn new(client: HttpsClient<BodyWrapper<Bytes>>) -> Self {
        let patience = Patience::default();
        Self { client, patience }
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience.clone()
    }

    async fn exchange(
        self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, AnswerError> {
        // URLs come from the authority, and the network must not read or change what it says.
        if request.uri().scheme_str() != Some("https") {
            return Err(AnswerError::Cleartext);
        }
        let agent = HeaderValue::from_static(AGENT);
        request.headers_mut().insert(USER_AGENT, agent);
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| AnswerError::Unreachable(log::causes(&error)))?;
        let (mut parts, body) = answer.into_parts();
        let body = Limited::new(body, BODY_OCTETS_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => AnswerError::TooLong,
            false => AnswerError::Broken(error.to_string()),
        })?;
        let body = body.to_bytes();
        let wait = bound_retry_after(&mut parts.headers);
        if parts.status.is_client_error() || parts.status.is_server_error() {
            self.patience.set(wait);
            // What a proxy in between says is no JSON, and the library would only say so.
            let is_reason = serde_json::from_slice::<Problem>(&body);
            is_reason.map_err(|_| AnswerError::Status(parts.status.as_u16()))?;
        }
        let body = Box::new(body);
        Ok(BytesResponse { parts, body })
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let exchange = timeout(REQUEST_MAX, self.clone().exchange(request));
        Box::pin(async move {
            let answer = exchange.await.unwrap_or(Err(AnswerError::TooSlow));
            answer.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

impl Patience {
    pub(super) fn get(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, wait: Option<Duration>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wait;
    }
}

/// Leaves a wait in the answer that the library can add to a clock, or none. A date is not added
/// to anything.
fn bound_retry_after(headers: &mut HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    // The library takes a sign for part of a number.
    let text = text.strip_prefix('+').unwrap_or(text);
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number {
        return None;
    }
    let seconds = text.parse().unwrap_or(u64::MAX).min(RETRY_AFTER_MAX);
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_would_overflow_a_clock_is_bounded() {
        for (said, left, wait) in [
            ("120", "120", Some(120)),
            ("86401", "86400", Some(86400)),
            ("18446744073709551615", "86400", Some(86400)),
            ("99999999999999999999999999", "86400", Some(86400)),
            ("+18446744073709551615", "86400", Some(86400)),
            ("soon", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(said));
            let bounded = bound_retry_after(&mut headers);
            assert_eq!(bounded, wait.map(Duration::from_secs), "{said}");
            assert_eq!(headers.get(RETRY_AFTER).unwrap(), left);
        }
    }
}

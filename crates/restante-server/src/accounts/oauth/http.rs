//! One request to an issuer and its answer, both bounded.

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Request, StatusCode, body::Bytes};
use rustls_pki_types::CertificateDer;

use super::{IssuerError, OauthError};
use crate::{
    https::{self, HttpsClient, HttpsError},
    log,
};

/// A client of issuers. Follows no redirection: where a token is sent was decided by the operator.
/// An `Endpoint` is `http://` on this machine alone.
pub(super) struct Http(HttpsClient<Full<Bytes>>);

impl Http {
    /// Issuers are verified against the system's roots and `extra` ones. Reads the system's.
    pub(super) fn new(extra: Vec<CertificateDer<'static>>) -> Result<Self, OauthError> {
        https::client(extra).map(Self).map_err(|error| match error {
            HttpsError::Tls(error) => OauthError::Tls(error),
            HttpsError::Root(error) => OauthError::Root(error),
        })
    }

    /// The body of the answer, if it is one of success and of at most `octets_max`.
    ///
    /// The caller bounds the time.
    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        octets_max: usize,
    ) -> Result<Bytes, IssuerError> {
        let answer = self.0.request(request).await;
        let answer = answer.map_err(|error| IssuerError::Unreachable(log::causes(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(IssuerError::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), octets_max).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(IssuerError::TooLong),
            Err(error) => Err(IssuerError::Unreachable(error.to_string())),
        }
    }
}

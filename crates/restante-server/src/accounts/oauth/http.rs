//! One request to an issuer and its answer, both bounded.

use std::{error::Error as _, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::CertificateDer;

use super::{IssuerError, OauthError};

/// Headers of an answer.
const HEAD_OCTETS_MAX: usize = 32 * 1024;

/// A connection at rest costs an issuer something too.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A client of issuers. Follows no redirection: where a token is sent was decided by the operator.
pub(super) struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Http {
    /// Issuers are verified against the system's roots and `extra` ones. Reads the system's.
    pub(super) fn new(extra: Vec<CertificateDer<'static>>) -> Result<Self, OauthError> {
        let mut roots = RootCertStore::empty();
        // Some of a system's are too old or too odd for us; the issuer's need not be among them.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for root in extra {
            roots.add(root).map_err(OauthError::Root)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(OauthError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // An `Endpoint` is `http` on this machine alone.
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .http1_max_buf_size(HEAD_OCTETS_MAX)
            .build(connector);
        Ok(Self(client))
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
        let answer = answer.map_err(|error| IssuerError::Unreachable(causes(&error)))?;
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

/// The innermost cause is the one that helps.
fn causes(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

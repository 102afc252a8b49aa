//! HTTPS as a client: servers of others, verified against the system's authorities and named ones.

use std::{sync::Arc, time::Duration};

use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::CertificateDer;

/// Headers of an answer.
const HEAD_OCTETS_MAX: usize = 32 * 1024;

/// A connection at rest costs the other side something too.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A client that follows no redirection. Bounds on time and on bodies are its user's.
pub(crate) type HttpsClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpsError {
    /// TLS cannot be used.
    #[error("TLS is not available")]
    Tls(#[source] rustls::Error),
    /// An extra root is not a certificate that can sign.
    #[error("a certificate of `ca_file` cannot be used")]
    Root(#[source] rustls::Error),
}

/// A client that believes the system's roots and `extra` ones. Reads the system's. Whether a URL
/// may be `http://` is for its user to see to.
pub(crate) fn client<B>(extra: Vec<CertificateDer<'static>>) -> Result<HttpsClient<B>, HttpsError>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut roots = RootCertStore::empty();
    // Some of a system's are too old or too odd for us; the one that is needed need not be among
    // them.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in extra {
        roots.add(root).map_err(HttpsError::Root)?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(HttpsError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .http1_max_buf_size(HEAD_OCTETS_MAX)
        .build(connector))
}

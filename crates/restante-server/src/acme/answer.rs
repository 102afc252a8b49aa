//! Where a certificate authority looks for the answers to its challenges: ports 443 and 80, as far
//! as it can see. Nothing else is served there.

use std::{convert::Infallible, io, net::TcpListener, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::LazyConfigAcceptor;

use super::ChallengeKind;
use crate::{
    Tls, http, log,
    tls::{self, challenges::Challenges},
    visits,
};

/// How long a connection may last in all.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);

/// RFC 8555 §8.3.
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers challenges of this kind at a socket that listens, for ever. `tls` says which.
///
/// Needs a Tokio runtime with I/O and time.
///
/// # Errors
/// The runtime refuses the socket.
pub async fn answer(
    listener: TcpListener,
    kind: ChallengeKind,
    tls: Arc<Tls>,
) -> io::Result<Infallible> {
    let challenges = Arc::clone(tls.challenges());
    match kind {
        ChallengeKind::TlsAlpn01 => {
            visits::receive(listener, CONNECTION_TIME_MAX, move |stream| {
                over_tls(stream, Arc::clone(&challenges))
            })
            .await
        }
        ChallengeKind::Http01 => {
            visits::receive(listener, CONNECTION_TIME_MAX, move |stream| {
                over_http(stream, Arc::clone(&challenges))
            })
            .await
        }
    }
}

async fn over_tls(stream: TcpStream, challenges: Arc<Challenges>) {
    let start = match LazyConfigAcceptor::new(Acceptor::default(), stream).await {
        Ok(start) => start,
        Err(error) => return tracing::debug!(%error, "no handshake for a challenge"),
    };
    let Some(answer) = challenges.over_tls(&start.client_hello()) else {
        let mut stream = start.io;
        // Whoever it is looks for a web server.
        let _ = stream.write_all(&tls::NO_APPLICATION_PROTOCOL).await;
        return;
    };
    let end = tls::answer_challenge(start, answer).await;
    tracing::debug!(end = log::causes(&end), "asked for a challenge over TLS");
}

async fn over_http(stream: TcpStream, challenges: Arc<Challenges>) {
    let service = service_fn(|request| {
        let page = page(&request, &challenges);
        async move { Ok::<_, Infallible>(page) }
    });
    let connection = http::one_request().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(
            error = log::causes(&error),
            "a request for a challenge failed"
        );
    }
}

fn page(request: &Request<Incoming>, challenges: &Challenges) -> Response<Full<Bytes>> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let token = request.uri().path().strip_prefix(PATH);
    match token.and_then(|token| challenges.over_http(token)) {
        Some(answer) if is_read => http::text(StatusCode::OK, answer),
        _ => http::text(StatusCode::NOT_FOUND, "no such challenge\n"),
    }
}

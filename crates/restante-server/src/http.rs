//! Pages for those who watch the server: `/metrics`, `/healthz`, `/readyz`.
//!
//! Whoever reaches the address may read them; nothing that belongs to a user stands there. A peer
//! holds little and not for long: few connections at a time, one request on each, a header of
//! bounded size in bounded time, and no body is ever read.

use std::{convert::Infallible, io, net::TcpListener, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::{log, server::Observation, visits};

/// How long a request's header may take (slowloris).
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection may last in all.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);

/// What a request line with its header may take, and how many fields it may have.
const HEADER_OCTETS_MAX: usize = 8 * 1024;
const HEADER_FIELDS_MAX: usize = 32;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves the pages at a socket that listens, for ever.
///
/// Needs a Tokio runtime with I/O and time. Dropping the future ends it and its connections' time
/// is up soon after.
///
/// # Errors
/// The runtime refuses the socket.
pub async fn serve(listener: TcpListener, observation: Observation) -> io::Result<Infallible> {
    visits::receive(listener, CONNECTION_TIME_MAX, move |stream| {
        answer(stream, observation.clone())
    })
    .await
}

/// Answers one request.
async fn answer(stream: TcpStream, observation: Observation) {
    let service = service_fn(|request| {
        let observation = observation.clone();
        async move { Ok::<_, Infallible>(page(&request, &observation).await) }
    });
    let connection = one_request().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = log::causes(&error), "a request for a page failed");
    }
}

/// How one request is read, from whomever: a header of bounded size in bounded time.
pub(crate) fn one_request() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_OCTETS_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .keep_alive(false);
    builder
}

async fn page(request: &Request<Incoming>, observation: &Observation) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !["/metrics", "/healthz", "/readyz"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "no such page\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        let allow = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allow);
        return answer;
    }
    match path {
        "/metrics" => match observation.metrics() {
            Ok(page) => response(StatusCode::OK, OPENMETRICS, page),
            Err(error) => {
                tracing::error!(%error, "the page of numbers cannot be made");
                text(StatusCode::INTERNAL_SERVER_ERROR, "a bug\n")
            }
        },
        "/readyz" => match observation.readiness().await {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(why) => {
                tracing::debug!(error = log::causes(&why), "not ready");
                text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
            }
        },
        // That it is answered is the answer.
        _ => text(StatusCode::OK, "alive\n"),
    }
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, TEXT, body)
}

fn response(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

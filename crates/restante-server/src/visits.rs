//! Connections that last for seconds: few at a time, and each is cut off when its time is up.

use std::{convert::Infallible, future::Future, io, net::TcpListener, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections that are served at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 32;

/// How long accepting rests when the system has no descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Gives each connection to `visit`, for at most `time_max`, for ever.
///
/// Needs a Tokio runtime with I/O and time. Dropping the future ends it, and its connections' time
/// is up soon after.
///
/// # Errors
/// The runtime refuses the socket.
pub(crate) async fn receive<V, F>(
    listener: TcpListener,
    time_max: Duration,
    visit: V,
) -> io::Result<Infallible>
where
    V: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let visit = visit(stream);
                tokio::spawn(async move {
                    // Whoever takes longer is cut off.
                    let _ = timeout(time_max, visit).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

//! The command line's side of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{
    LINE_OCTETS_MAX, LINE_TIMEOUT, LineError, Reply, Request, SOCKET_NAME, decode, encode,
    socket::Route,
};

/// Why a server that runs could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Its socket cannot be reached or used: most often it is another user's.
    #[error("the running server cannot be reached")]
    Socket(#[source] io::Error),
    /// It said nothing in time.
    #[error("the running server does not answer")]
    Silent,
    /// Its answer is not understood: it is of another version.
    #[error("the running server gave an answer that this version does not understand")]
    Answer(#[source] LineError),
}

/// Asks the server that runs on the data directory `data`; `None` if there is none. Blocks, for
/// seconds at most.
///
/// # Errors
/// [`AskError`]: there is a server, but what it did is not known.
pub fn ask(data: &Path, request: &Request) -> Result<Option<Reply>, AskError> {
    ask_within(data, request, LINE_TIMEOUT)
}

/// As [`ask`]; `patience` is how long each line may take.
pub(super) fn ask_within(
    data: &Path,
    request: &Request,
    patience: Duration,
) -> Result<Option<Reply>, AskError> {
    let Some(stream) = connect(data).map_err(AskError::Socket)? else {
        return Ok(None);
    };
    let line = exchange(stream, request, patience).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent,
        _ => AskError::Socket(error),
    })?;
    decode(&line).map(Some).map_err(AskError::Answer)
}

/// Connects to the server that runs on the data directory `data`; `None` if there is none.
pub(super) fn connect(data: &Path) -> io::Result<Option<UnixStream>> {
    let route = match Route::to(data) {
        Ok(route) => route,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(route.to_file(SOCKET_NAME)) {
        Ok(stream) => Ok(Some(stream)),
        // A socket that nobody listens to was left behind by a process that died.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn exchange(mut stream: UnixStream, request: &Request, patience: Duration) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&encode(request))?;
    let mut line = Vec::new();
    let bound = LINE_OCTETS_MAX as u64;
    BufReader::new(stream.take(bound)).read_until(b'\n', &mut line)?;
    match line.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(line),
    }
}

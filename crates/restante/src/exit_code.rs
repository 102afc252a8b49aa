//! What the program's exit codes mean: those of `sysexits.h`, which mail programs act upon.

use std::process;

/// How a run ended. The numbers are part of the interface and never change meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ExitCode {
    /// Done.
    Done = 0,
    /// The command line makes no sense (`EX_USAGE`).
    Usage = 64,
    /// The input is not what it should be (`EX_DATAERR`).
    Data = 65,
    /// There is no such account (`EX_NOUSER`).
    UnknownUser = 67,
    /// Something needed is taken or does not answer (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A bug in Restante (`EX_SOFTWARE`).
    Bug = 70,
    /// Reading or writing failed (`EX_IOERR`).
    Io = 74,
    /// Trying again later may help (`EX_TEMPFAIL`): a mail server keeps the message and does.
    TryLater = 75,
    /// Another server does not do what the protocol wants (`EX_PROTOCOL`).
    Protocol = 76,
    /// Another server refuses the login, or is not who it should be (`EX_NOPERM`).
    Refused = 77,
    /// The configuration is wrong (`EX_CONFIG`).
    Configuration = 78,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

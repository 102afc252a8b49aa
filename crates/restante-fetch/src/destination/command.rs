//! A program that takes a message on its standard input: procmail, maildrop, a script.

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr},
    time::timeout,
};

use super::{
    handed::{Carrier, Handed, Letter, handed, nameless_file},
    line_ends::{Ends, Lines},
};
use crate::DestinationError;

/// `EX_TEMPFAIL` of `sysexits.h`: later.
const TEMPORARY: i32 = 75;

/// How much of what a program complains of is shown: the end of it.
const SHOWN_OCTETS_MAX: usize = 1024;

/// How long the end of its complaints is waited for, when it is over itself: a child of it may hold
/// the pipe.
const COMPLAINT_WAIT: Duration = Duration::from_secs(1);

/// A program and its arguments, which no shell sees.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The program's name or path, and its arguments; not empty.
    pub words: Vec<OsString>,
    /// How long it may take for a message.
    pub deadline: Duration,
}

handed! {
    /// A program that gets each message on its standard input, with LF line ends, in a process of
    /// its own, and says by its exit code whether it has taken the message over: 0; 75 (`EX_TEMPFAIL`):
    /// not now; anything else: not this message.
    pub struct Command(Runner);
}

impl Command {
    /// How long a program may take, unless said otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(5 * 60);

    /// The program of these settings, for mail of `account`. What it has taken over is noted in
    /// `directory`, which is made if it is missing. Nothing is touched yet. `None` if no program is
    /// named.
    #[must_use]
    pub fn new(settings: CommandSettings, directory: &Path, account: &str) -> Option<Self> {
        let runner = Runner::new(settings, directory)?;
        Some(Self(Handed::new(runner, directory, account)))
    }
}

/// Runs the program.
struct Runner {
    settings: CommandSettings,
    /// Where messages are while they are read.
    directory: PathBuf,
    label: String,
}

impl Runner {
    fn new(settings: CommandSettings, directory: &Path) -> Option<Self> {
        settings.words.first()?;
        let shown = settings
            .words
            .iter()
            .map(|word| word.to_string_lossy().escape_debug().to_string());
        let label = format!("command:{}", shown.collect::<Vec<_>>().join(" "));
        Some(Self {
            settings,
            directory: directory.to_owned(),
            label,
        })
    }

    /// The message in a file without a name. A pipe would end when we are killed, and the program
    /// would take what it has got for the whole message.
    async fn write_out(&self, mut letter: Letter<'_>) -> io::Result<File> {
        let mut file = tokio::fs::File::from_std(nameless_file(&self.directory)?);
        let mut lines = Lines::new(Ends::Lf);
        let mut out = Vec::new();
        while let Some(piece) = letter.next().await? {
            lines.write(piece, &mut out);
            file.write_all(&out).await?;
            out.clear();
        }
        lines.finish(&mut out);
        file.write_all(&out).await?;
        file.flush().await?;
        file.rewind().await?;
        Ok(file.into_std().await)
    }

    fn spawn(&self, message: File) -> io::Result<Child> {
        let (program, arguments) = match self.settings.words.split_first() {
            Some(words) => words,
            None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(message))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: what it starts can be ended with it, and a key that interrupts us
            // does not interrupt a delivery.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// What an exit means.
    fn verdict(&self, status: ExitStatus, complaint: &str) -> Result<(), DestinationError> {
        let place = self.label.clone();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(TEMPORARY), _) => Err(DestinationError::RefusedNow {
                place,
                said: with("exit code 75", complaint),
            }),
            (Some(code), _) => Err(DestinationError::Refused {
                place,
                said: with(format_args!("exit code {code}"), complaint),
            }),
            (None, signal) => Err(DestinationError::RefusedNow {
                place,
                said: with(
                    format_args!("ended by signal {}", signal.unwrap_or(0)),
                    complaint,
                ),
            }),
        }
    }
}

impl Carrier for Runner {
    fn label(&self) -> &str {
        &self.label
    }

    async fn open(&mut self) -> Result<(), DestinationError> {
        Ok(())
    }

    async fn hand_on(&mut self, letter: Letter<'_>) -> Result<(), DestinationError> {
        let failed = |cause| DestinationError::system(self.label.clone(), cause);
        let message = self.write_out(letter).await.map_err(failed)?;
        let mut child = self
            .spawn(message)
            .map_err(|cause| not_run(self.label.clone(), &cause))?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let complaint = Arc::new(Mutex::new(Tail::default()));
        let complaining = tokio::spawn(Tail::read(complaint.clone(), child.stderr.take()));
        let ended = timeout(self.settings.deadline, child.wait()).await;
        if ended.is_err() {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait().await;
        }
        let aborting = complaining.abort_handle();
        let _ = timeout(COMPLAINT_WAIT, complaining).await;
        aborting.abort();
        let complaint = complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .to_string();
        match ended {
            Ok(status) => self.verdict(status.map_err(failed)?, &complaint),
            Err(_) => {
                let seconds = self.settings.deadline.as_secs();
                Err(DestinationError::RefusedNow {
                    place: self.label.clone(),
                    said: with(format_args!("no end within {seconds} s"), &complaint),
                })
            }
        }
    }

    async fn close(&mut self) {}
}

/// The end of what a program says.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(tail: Arc<Mutex<Self>>, stderr: Option<ChildStderr>) {
        let Some(mut stderr) = stderr else {
            return;
        };
        let mut piece = [0; 1024];
        while let Ok(read @ 1..) = stderr.read(&mut piece).await {
            let Self(held) = &mut *tail.lock().unwrap_or_else(PoisonError::into_inner);
            held.extend_from_slice(piece.get(..read).unwrap_or_default());
            let surplus = held.len().saturating_sub(SHOWN_OCTETS_MAX);
            held.drain(..surplus);
        }
    }
}

/// Printable, in one line.
impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        write!(f, "{}", text.trim().escape_debug())
    }
}

/// Why a program was not run: there is none, or this machine has no room for it at the moment.
fn not_run(place: String, cause: &io::Error) -> DestinationError {
    let said = format!("it cannot be run: {cause}");
    match Errno::from_io_error(cause) {
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
            DestinationError::Later { place, said }
        }
        _ => DestinationError::Closed { place, said },
    }
}

fn with(what: impl fmt::Display, complaint: &str) -> String {
    match complaint {
        "" => what.to_string(),
        said => format!("{what}: {said}"),
    }
}

#[cfg(test)]
mod tests;

//! A message on its way into a file.
//!
//! Whether CRLF may be stored as LF is known only when the whole message has been seen: a lone LF,
//! or `CR CR LF`, could not be told from a line end afterwards. A message of usual size waits in
//! memory for that. A large one is written with LF as it comes; if it proves to be of the other
//! kind, what was written is written anew as it came.
//!
//! So a file that has a CRLF anywhere holds the message as it came; in any other each LF stands for
//! CRLF.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write},
    path::PathBuf,
};

use super::{LineEnds, create};

/// So much is held before it is written.
const HELD_OCTETS_MAX: usize = 256 * 1024;

/// A message on its way into the file at `path`, which is made when something is to be written.
#[derive(Debug)]
pub(super) struct Content {
    path: PathBuf,
    file: Option<File>,
    /// There is a file of ours.
    made: bool,
    /// Octets as they came that were not written.
    held: Vec<u8>,
    /// Octets of the message so far, as they came.
    sent: u64,
    stored: u64,
    form: Form,
    /// The last two octets that were looked at.
    last: [u8; 2],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// LF stands for CRLF, as far as is known.
    Lf,
    /// As it came.
    Verbatim,
}

impl Content {
    pub(super) fn new(path: PathBuf, line_ends: LineEnds) -> Self {
        let form = match line_ends {
            LineEnds::Lf => Form::Lf,
            LineEnds::Crlf => Form::Verbatim,
        };
        Self {
            path,
            file: None,
            made: false,
            held: Vec::new(),
            sent: 0,
            stored: 0,
            form,
            last: [0; 2],
        }
    }

    /// Takes the next octets; whether it is time to [`spill`](Self::spill).
    pub(super) fn push(&mut self, octets: &[u8]) -> bool {
        self.sent = self.sent.saturating_add(octets.len() as u64);
        self.held.extend_from_slice(octets);
        self.held.len() >= HELD_OCTETS_MAX
    }

    /// Writes what is held. Blocks.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        if self.form == Form::Lf && !self.is_reversible(&held) {
            self.form = Form::Verbatim;
            self.write_anew()?;
        }
        // A CR at the end may be half of a line end.
        let waits = usize::from(self.form == Form::Lf && held.ends_with(b"\r"));
        let (ready, rest) = held.split_at(held.len() - waits);
        match self.form {
            Form::Verbatim => self.store(ready)?,
            Form::Lf => self.store(&without_cr(ready))?,
        }
        self.held.extend_from_slice(rest);
        self.held.shrink_to(HELD_OCTETS_MAX);
        Ok(())
    }

    /// Writes the rest; how many octets the file has, and the message. Blocks.
    pub(super) fn finish(&mut self) -> io::Result<(u64, u64)> {
        self.spill()?;
        let rest = std::mem::take(&mut self.held);
        self.store(&rest)?;
        self.file = None;
        Ok((self.stored, self.sent))
    }

    /// Removes the file. Blocks.
    pub(super) fn remove(&self) {
        if self.made {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Whether CRLF as LF can be undone, up to the end of these octets, which follow those before.
    fn is_reversible(&mut self, octets: &[u8]) -> bool {
        for &octet in octets {
            let [before, last] = self.last;
            if octet == b'\n' && (last != b'\r' || before == b'\r') {
                return false;
            }
            self.last = [last, octet];
        }
        // The CR that waits is looked at again.
        if octets.ends_with(b"\r") {
            self.last = [0, self.last[0]];
        }
        true
    }

    fn store(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(create(&self.path)?);
            self.made = true;
        }
        if let Some(file) = &mut self.file {
            file.write_all(octets)?;
        }
        self.stored = self.stored.saturating_add(octets.len() as u64);
        Ok(())
    }

    /// Writes what was written as LF again as it came.
    fn write_anew(&mut self) -> io::Result<()> {
        if self.file.take().is_none() {
            return Ok(());
        }
        let mut old = File::open(&self.path)?;
        // The open file stays readable without its name, which the new one takes.
        fs::remove_file(&self.path)?;
        let mut new = BufWriter::new(create(&self.path)?);
        let mut stored = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = old.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            for line in buffer
                .get(..count)
                .unwrap_or_default()
                .split_inclusive(|&it| it == b'\n')
            {
                stored += line.len() as u64;
                match line.strip_suffix(b"\n") {
                    Some(text) => {
                        new.write_all(text)?;
                        new.write_all(b"\r\n")?;
                        stored += 1;
                    }
                    None => new.write_all(line)?,
                }
            }
        }
        self.file = Some(new.into_inner().map_err(io::IntoInnerError::into_error)?);
        self.stored = stored;
        Ok(())
    }
}

/// CRLF as LF; every other octet as it is.
fn without_cr(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|&it| it == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

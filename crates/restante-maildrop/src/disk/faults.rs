//! A plan of failures for a disk, and a trace of what was asked of it.

use std::{
    io,
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;

use super::{Call, NameAt};

/// When calls fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// None does; they are only traced.
    Never,
    /// The call of this index (from 0) fails, all others work.
    Once(u64),
    /// The call of this index (from 0) fails, and every call after it.
    From(u64),
}

/// A disk's plan of failures and the trace of its calls.
#[derive(Debug)]
pub struct Faults {
    fault: Fault,
    errno: Errno,
    passed: Mutex<Vec<Passed>>,
}

/// One call that a disk was asked for.
#[derive(Clone, Debug)]
pub struct Passed {
    /// What was asked.
    pub call: Call,
    /// The file or directory it concerned, as the kernel knew it before the call.
    pub path: PathBuf,
    /// The new name of a link or rename.
    pub to: Option<PathBuf>,
    /// Whether the plan let it fail.
    pub failed: bool,
}

impl Faults {
    /// Calls that fail do so with `EIO`.
    #[must_use]
    pub fn input_output(fault: Fault) -> Self {
        Self::new(fault, Errno::IO)
    }

    /// Calls that fail do so with `ENOSPC`.
    #[must_use]
    pub fn no_space(fault: Fault) -> Self {
        Self::new(fault, Errno::NOSPC)
    }

    /// How many calls were asked for so far, failed ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.passed().len() as u64
    }

    /// How many calls of this kind were asked for so far.
    #[must_use]
    pub fn count_of(&self, call: Call) -> usize {
        self.passed().iter().filter(|one| one.call == call).count()
    }

    /// All calls so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Passed> {
        self.passed().clone()
    }

    /// Forgets the trace and counts from 0 again.
    pub fn restart(&self) {
        self.passed().clear();
    }

    pub(super) fn pass(
        &self,
        call: Call,
        at: NameAt<'_>,
        to: Option<NameAt<'_>>,
    ) -> io::Result<()> {
        let mut passed = self.passed();
        let failed = self.fails(passed.len() as u64);
        passed.push(Passed {
            call,
            path: path_of(at),
            to: to.map(path_of),
            failed,
        });
        if failed {
            return Err(self.errno.into());
        }
        Ok(())
    }

    pub(super) fn fails_next(&self) -> bool {
        self.fails(self.count())
    }

    fn new(fault: Fault, errno: Errno) -> Self {
        Self {
            fault,
            errno,
            passed: Mutex::default(),
        }
    }

    fn fails(&self, index: u64) -> bool {
        match self.fault {
            Fault::Never => false,
            Fault::Once(at) => index == at,
            Fault::From(at) => index >= at,
        }
    }

    fn passed(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path of an entry, from what the kernel knows of the descriptor.
fn path_of((at, name): NameAt<'_>) -> PathBuf {
    let link = format!("/proc/self/fd/{}", at.as_raw_fd());
    let mut path = match at.as_raw_fd() == rustix::fs::CWD.as_raw_fd() {
        true => PathBuf::new(),
        false => std::fs::read_link(link).unwrap_or_default(),
    };
    if !name.is_empty() {
        path.push(String::from_utf8_lossy(name).as_ref());
    }
    path
}

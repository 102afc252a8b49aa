//! Maildirs as other programs leave them: what a session reads, whatever happens meanwhile.

mod compressed;
mod descriptors;
mod devices;
mod figures;
mod folders;
mod no_room;
mod opening;
mod read_ahead;
mod reading;
mod sizes;
mod trash;
mod two_names;
mod visits;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_maildrop::{
    Clock, Maildir,
    disk::{Call, Disk, Fault, Faults},
};
use tempfile::TempDir;

use crate::fixture::maildir;

/// The Maildir `me`, a store that serves it, and the trace of its disk.
struct Place {
    directory: TempDir,
    faults: Arc<Faults>,
    store: Maildir,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(directory.path().join("me").join(folder)).unwrap();
    }
    let faults = Arc::new(Faults::input_output(Fault::Never));
    let disk = Disk::with_faults(Arc::clone(&faults));
    let store = maildir(directory.path(), Clock::system(), disk);
    Place {
        directory,
        faults,
        store,
    }
}

impl Place {
    /// A store that has just been started.
    fn restarted(&self) -> Maildir {
        let disk = Disk::with_faults(Arc::clone(&self.faults));
        maildir(self.directory.path(), Clock::system(), disk)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join("me").join(file)
    }

    fn put(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(file), content).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// How many descriptors of this process are of files and directories of this place.
    fn descriptors(&self) -> usize {
        descriptors_of(self.directory.path())
    }

    /// How often a file of `new/` or `cur/` was opened since the trace began anew.
    fn opened(&self) -> usize {
        let trace = self.faults.trace();
        let opened = trace.iter().filter(|passed| {
            let folder = passed.path.parent().and_then(|folder| folder.file_name());
            let message = folder.is_some_and(|folder| folder == "new" || folder == "cur");
            message && passed.call == Call::OpenRead
        });
        opened.count()
    }
}

fn descriptors_of(place: &Path) -> usize {
    let own = fs::read_dir("/proc/self/fd").unwrap();
    let files = own.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    files.filter(|file| file.starts_with(place)).count()
}

/// The CRLF form of what is stored, the slow way.
fn crlf_form(stored: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for &octet in stored {
        if octet == b'\n' && wire.last() != Some(&b'\r') {
            wire.push(b'\r');
        }
        wire.push(octet);
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

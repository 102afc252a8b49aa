//! The directories of a Maildir.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::fs::{RenameFlags, renameat_with};

use super::{Told, flush};
use crate::destination::Recovered;

/// An open Maildir.
#[derive(Clone, Debug)]
pub(super) struct Directory(Arc<Open>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    tmp: File,
    new: File,
    identity: Identity,
}

/// The device and the inode of `new/`.
pub(super) type Identity = (u64, u64);

impl Directory {
    /// Opens the Maildir, and makes what is missing of it, durably.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        for name in ["cur", "new", "tmp"] {
            make(&path.join(name))?;
        }
        Self::open_existing(path)
    }

    /// Opens the Maildir that was open before. A disk that went away meanwhile has left a bare
    /// directory in its place, and there no Maildir is made.
    pub(super) fn open_again(path: &Path, identity: Identity) -> io::Result<Self> {
        let directory = Self::open_existing(path)?;
        match directory.identity() == identity {
            true => Ok(directory),
            false => Err(io::Error::other("it is not the Maildir that it was before")),
        }
    }

    fn open_existing(path: &Path) -> io::Result<Self> {
        let new = File::open(path.join("new"))?;
        let facts = new.metadata()?;
        let open = Open {
            path: path.to_owned(),
            tmp: File::open(path.join("tmp"))?,
            new,
            identity: (facts.dev(), facts.ino()),
        };
        Ok(Self(Arc::new(open)))
    }

    pub(super) fn identity(&self) -> Identity {
        self.0.identity
    }

    /// A descriptor on the file system, opened before the group was written: it tells errors of
    /// the disk since then.
    pub(super) fn tmp(&self) -> &File {
        &self.0.tmp
    }

    /// Moves a message to where it is seen, never over another.
    pub(super) fn publish(&self, stem: &str, name: &str) -> io::Result<()> {
        let Open { path, tmp, new, .. } = &*self.0;
        match renameat_with(tmp, stem, new, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // The file system does not know how to. A link replaces nothing either.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let old = path.join("tmp").join(stem);
                fs::hard_link(&old, path.join("new").join(name))?;
                fs::remove_file(old)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn sync_new(&self) -> io::Result<()> {
        self.0.new.sync_all()
    }

    /// The stems of all messages, those in folders beside the inbox too: a rule or a person may
    /// have moved them there.
    pub(super) fn stems(&self) -> io::Result<HashSet<String>> {
        let mut stems = HashSet::new();
        let path = &self.0.path;
        take_stems(path, &mut stems)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                // What is no folder, or not ours to read, has none of ours.
                let _ = take_stems(&entry.path(), &mut stems);
            }
        }
        Ok(stems)
    }

    /// What became of a message.
    pub(super) fn recover(&self, told: &Told, stems: &HashSet<String>) -> io::Result<Recovered> {
        if stems.contains(&told.stem) {
            // It was renamed; whether that was made durable nobody knows.
            self.sync_new()?;
            return Ok(Recovered::Arrived);
        }
        let path = self.0.path.join("tmp").join(&told.stem);
        let octets = match fs::symlink_metadata(&path) {
            Ok(facts) if facts.is_file() => facts.len(),
            Ok(_) => return Ok(Recovered::Lost),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Recovered::Lost),
            Err(error) => return Err(error),
        };
        if octets != told.stored {
            let _ = fs::remove_file(&path);
            return Ok(Recovered::Lost);
        }
        flush::one(&path)?;
        self.publish(&told.stem, &told.name())?;
        self.sync_new()?;
        Ok(Recovered::Arrived)
    }

    /// Removes what processes that died have left in `tmp/`. Failing at that harms nobody.
    pub(super) fn sweep(&self, age_min: Duration) {
        let Ok(entries) = fs::read_dir(self.0.path.join("tmp")) else {
            return;
        };
        let now = SystemTime::now();
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|facts| facts.modified());
            let age = modified.map(|then| now.duration_since(then).unwrap_or_default());
            if age.is_ok_and(|age| age >= age_min) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn take_stems(maildir: &Path, stems: &mut HashSet<String>) -> io::Result<()> {
    for folder in ["new", "cur"] {
        let entries = match fs::read_dir(maildir.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let end = name.find([':', ',']).unwrap_or(name.len());
            stems.insert(name.get(..end).unwrap_or_default().into());
        }
    }
    Ok(())
}

/// Makes a directory, and those above it, closed to others, and their entries durable.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

//! Where the Maildirs are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::progress::Progress;

/// Directories below each other, at most: a mail spool has five.
const DEPTH_MAX: usize = 32;

/// What was found at a path and below it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// In the order of their paths.
    pub(crate) maildirs: Vec<PathBuf>,
    /// Directories that could not be looked into.
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Tree {
    /// Searches `root`, which may be a Maildir itself. Nothing is searched within a Maildir:
    /// its folders are not what POP3 shows. Links are not followed.
    pub(crate) fn search(root: &Path, progress: &Progress) -> Self {
        let mut tree = Self::default();
        tree.enter(root, 0, progress);
        tree
    }

    fn enter(&mut self, directory: &Path, depth: usize, progress: &Progress) {
        if is_maildir(directory) {
            self.maildirs.push(directory.to_owned());
            progress.found(self.maildirs.len());
            return;
        }
        let below = match directories_in(directory) {
            Ok(below) => below,
            Err(error) => return self.unreadable.push((directory.to_owned(), error)),
        };
        if depth == DEPTH_MAX && !below.is_empty() {
            let error = io::Error::other("too many directories below each other");
            return self.unreadable.push((directory.to_owned(), error));
        }
        for directory in below {
            self.enter(&directory, depth + 1, progress);
        }
    }
}

fn is_maildir(directory: &Path) -> bool {
    let is_directory = |name| {
        let facts = directory.join(name).symlink_metadata();
        facts.is_ok_and(|facts| facts.is_dir())
    };
    is_directory("cur") && is_directory("new")
}

fn directories_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories.push(entry.path());
        }
    }
    directories.sort();
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::flags::Talk;

    fn found(root: &Path) -> Vec<String> {
        let talk = Talk {
            quiet: true,
            verbose: 0,
        };
        let tree = Tree::search(root, &Progress::begin(talk));
        assert!(tree.unreadable.is_empty(), "{tree:?}");
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        tree.maildirs.iter().map(relative).collect()
    }

    #[test]
    fn maildirs_are_found_and_their_folders_are_not() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for path in [
            "example.com/me/cur",
            "example.com/me/new",
            "example.com/me/.Sent/cur",
            "example.com/me/.Sent/new",
            "example.com/you/Maildir/cur",
            "example.com/you/Maildir/new",
            "example.com/half/cur",
            ".hidden/him/cur",
            ".hidden/him/new",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        symlink(root.join("example.com/me"), root.join("link")).unwrap();
        symlink(root, root.join("example.com/loop")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(
            found(root),
            [".hidden/him", "example.com/me", "example.com/you/Maildir"]
        );
        assert_eq!(found(&root.join("example.com/me")), [""]);
        assert_eq!(found(&root.join("example.com/half")), [""; 0]);
    }
}

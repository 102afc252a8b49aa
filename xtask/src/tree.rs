//! The files of the repository, as the checks see them: paths relative to its root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What a build or a fuzzing run leaves behind, and git's own.
const SKIPPED: [&str; 7] = [
    ".git",
    "target",
    "fuzz/target",
    "fuzz/corpus",
    "fuzz/artifacts",
    "fuzz/coverage",
    ".cache",
];

/// The root of the repository: the directory above this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the workspace")
}

/// A file of the repository that is text.
pub(crate) struct Text {
    /// Relative to the root, with `/`.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Text {
    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Whether the name ends in this extension (without dot).
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|e| e == extension)
    }
}

/// Every text file of the repository, sorted by path. Files that are not UTF-8 are left out.
pub(crate) fn texts() -> Result<Vec<Text>> {
    let mut found = Vec::new();
    collect(Path::new(""), &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// One file, by its path from the root.
pub(crate) fn read(path: &str) -> Result<Text> {
    let text = fs::read_to_string(root().join(path)).with_context(|| format!("reading {path}"))?;
    Ok(Text {
        path: path.into(),
        text,
    })
}

fn collect(directory: &Path, found: &mut Vec<Text>) -> Result<()> {
    let absolute = root().join(directory);
    let entries =
        fs::read_dir(&absolute).with_context(|| format!("listing {}", absolute.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", absolute.display()))?;
        let path = directory.join(entry.file_name());
        let kind = entry
            .file_type()
            .with_context(|| format!("looking at {}", path.display()))?;
        if SKIPPED.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        if kind.is_dir() {
            collect(&path, found)?;
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Text { path, text });
        }
    }
    Ok(())
}

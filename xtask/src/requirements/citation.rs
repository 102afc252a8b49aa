//! Finding where requirement ids are cited, and whether a test does it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::list::List;
use crate::tree::Text;

/// An id at a place.
pub(super) struct Citation {
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) line: usize,
    /// A test cites it, so that it counts as proven.
    pub(super) proves: bool,
}

/// Every citation in the code, the tests, the dialogues and the documents.
pub(super) fn all(texts: &[Text], list: &List) -> Vec<Citation> {
    let families = list.families();
    let mut citations = Vec::new();
    for text in texts {
        if text.has_extension("rs") && !text.path.starts_with("xtask") {
            citations.extend(in_code(text, &families));
            citations.extend(in_test_names(text, list, &families));
        } else if is_dialogue(&text.path) {
            let comments = text
                .lines()
                .filter(|(_, line)| line.trim_start().starts_with('#'));
            citations.extend(in_lines(text, comments, &families, |_| true));
        } else if text.has_extension("md") && !text.path.ends_with("requirements.md") {
            citations.extend(in_lines(text, text.lines(), &families, |_| false));
        }
    }
    citations
}

/// Data files of the tests: everything below a crate's `tests/` that is not Rust.
fn is_dialogue(path: &Path) -> bool {
    path.starts_with("crates") && path.components().any(|part| part.as_os_str() == "tests")
}

fn in_code(text: &Text, families: &BTreeSet<&str>) -> Vec<Citation> {
    let tests = tests(text);
    let fuzz_target = text.path.starts_with("fuzz/fuzz_targets");
    let comments = text.lines().filter_map(|(number, line)| {
        let at = line.find("//")?;
        Some((number, line.get(at..)?))
    });
    in_lines(text, comments, families, |line| {
        fuzz_target
            || tests
                .iter()
                .any(|test| test.first <= line && line <= test.last)
    })
}

fn in_lines<'t>(
    text: &Text,
    lines: impl Iterator<Item = (usize, &'t str)>,
    families: &BTreeSet<&str>,
    proves: impl Fn(usize) -> bool,
) -> Vec<Citation> {
    let mut citations = Vec::new();
    for (line, content) in lines {
        for id in ids(content, families) {
            let path = text.path.clone();
            citations.push(Citation {
                id: id.to_owned(),
                path,
                line,
                proves: proves(line),
            });
        }
    }
    citations
}

fn in_test_names(text: &Text, list: &List, families: &BTreeSet<&str>) -> Vec<Citation> {
    let mut citations = Vec::new();
    for test in tests(text) {
        let mut cited = 0;
        for row in list.rows().filter(|row| name_contains(&test.name, &row.id)) {
            cited += 1;
            citations.push(Citation {
                id: row.id.clone(),
                path: text.path.clone(),
                line: test.name_line,
                proves: true,
            });
        }
        let promised = claimed_id(&test.name, families).filter(|_| cited == 0);
        if let Some(id) = promised {
            let path = text.path.clone();
            citations.push(Citation {
                id,
                path,
                line: test.name_line,
                proves: false,
            });
        }
    }
    citations
}

/// A test function with the comments and attributes above it; lines from 1.
struct Test {
    name: String,
    name_line: usize,
    first: usize,
    last: usize,
}

/// The test functions of a formatted file: its last line is the closing brace that is indented
/// like the `fn`.
fn tests(text: &Text) -> Vec<Test> {
    let lines: Vec<&str> = text.text.lines().collect();
    let mut tests = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !is_test_attribute(line.trim()) {
            continue;
        }
        let above = lines.iter().take(index).rev();
        let attached = above
            .take_while(|line| is_comment_or_attribute(line))
            .count();
        let signature = lines.iter().enumerate().skip(index).find_map(|(at, line)| {
            let name = function_name(line)?;
            Some((at, *line, name))
        });
        let Some((at, signature, name)) = signature else {
            continue;
        };
        let indent = signature.len() - signature.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        let one_line = signature.trim_end().ends_with('}');
        let end = lines
            .iter()
            .enumerate()
            .skip(at)
            .find(|(_, line)| one_line || **line == close);
        tests.push(Test {
            name: name.to_owned(),
            name_line: at + 1,
            first: index - attached + 1,
            last: end.map_or(lines.len(), |(end, _)| end + 1),
        });
    }
    tests
}

fn is_test_attribute(line: &str) -> bool {
    let inner = line
        .strip_prefix("#[")
        .and_then(|l| l.split([']', '(']).next());
    inner.is_some_and(|path| ["test", "tokio::test", "rstest"].contains(&path))
}

fn is_comment_or_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("#[")
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub ")
        .or(line.strip_prefix("pub(crate) "))
        .unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// Whether the name contains the id's lower-case form, bounded by `_` or the ends.
fn name_contains(name: &str, id: &str) -> bool {
    let wanted = id.to_lowercase().replace('-', "_");
    name.match_indices(&wanted).any(|(at, found)| {
        let before = name.get(..at).unwrap_or_default();
        let after = name.get(at + found.len()..).unwrap_or_default();
        (before.is_empty() || before.ends_with('_')) && (after.is_empty() || after.starts_with('_'))
    })
}

/// The id that a test's name begins with, by its look: family, words, number.
fn claimed_id(name: &str, families: &BTreeSet<&str>) -> Option<String> {
    let words: Vec<String> = name.split('_').map(str::to_uppercase).collect();
    let family = words.first()?;
    if !families.contains(family.as_str()) {
        return None;
    }
    let number = words
        .iter()
        .skip(1)
        .take(3)
        .position(|word| is_number(word))?
        + 1;
    (number > 1).then(|| words.get(..=number).unwrap_or_default().join("-"))
}

/// The words of a line that look like ids: a known family, then segments, the last a number.
fn ids<'l>(line: &'l str, families: &BTreeSet<&str>) -> Vec<&'l str> {
    let is_inside = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    let mut ids = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_inside) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c: char| !is_inside(c)).unwrap_or(run.len());
        let (word, after) = run.split_at(end);
        let glued = before
            .chars()
            .last()
            .is_some_and(|c| c.is_alphanumeric() || c == '_');
        let word = word.trim_end_matches('-');
        let segments: Vec<&str> = word.split('-').collect();
        if let [family, .., last] = segments.as_slice()
            && !glued
            && families.contains(family)
            && is_number(last)
            && (segments.len() > 2 || *family == "XOAUTH2")
        {
            ids.push(word);
        }
        rest = after;
    }
    ids
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> BTreeSet<&'static str> {
        ["R1939", "PRJ", "XOAUTH2"].into_iter().collect()
    }

    #[test]
    fn finds_ids_and_only_ids() {
        let line =
            "// R1939-TOP-2, PRJ-INJ-1…4 and XOAUTH2-1; not SCRAM-SHA-256, PRJ- or R1939-TOP";
        assert_eq!(
            ids(line, &families()),
            ["R1939-TOP-2", "PRJ-INJ-1", "XOAUTH2-1"]
        );
    }

    #[test]
    fn a_name_contains_an_id_between_bounds() {
        assert!(name_contains("r1939_top_2_zero_lines", "R1939-TOP-2"));
        assert!(name_contains("prj_a_1_and_r1939_top_2", "R1939-TOP-2"));
        assert!(!name_contains("r1939_top_21", "R1939-TOP-2"));
    }

    #[test]
    fn a_test_reaches_from_its_comments_to_its_brace() {
        let source =
            "\n// R1939-TOP-2\n#[test]\nfn name() {\n    if a {\n    }\n}\n// R1939-TOP-3\n";
        let text = Text {
            path: "a.rs".into(),
            text: source.into(),
        };
        let citations = in_code(&text, &families());
        let proven: Vec<_> = citations
            .iter()
            .map(|c| (c.id.as_str(), c.proves))
            .collect();
        assert_eq!(proven, [("R1939-TOP-2", true), ("R1939-TOP-3", false)]);
    }

    #[test]
    fn a_name_that_claims_an_unknown_id_is_told() {
        assert_eq!(
            claimed_id("r1939_top_9_x", &families()).as_deref(),
            Some("R1939-TOP-9")
        );
        assert_eq!(claimed_id("prj_is_nice", &families()), None);
    }
}

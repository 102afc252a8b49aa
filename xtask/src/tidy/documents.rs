//! Markdown: every link leads somewhere, and the changelog has a place for what comes next.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::finding::Finding;
use crate::tree::{self, Text};

pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let documents: Vec<&Text> = texts
        .iter()
        .filter(|text| text.has_extension("md"))
        .collect();
    let anchors: HashMap<&Path, Vec<String>> = documents
        .iter()
        .map(|text| (text.path.as_path(), anchors(text)))
        .collect();
    let mut findings = Vec::new();
    for document in &documents {
        for (line, target) in links(document) {
            if let Some(problem) = unresolved(&document.path, &target, &anchors) {
                findings.push(Finding::at_line(&document.path, line, problem));
            }
        }
    }
    findings.extend(missing_tests(texts));
    let unreleased = |text: &&Text| text.text.lines().any(|line| line == "## Unreleased");
    let changelog = documents
        .iter()
        .copied()
        .find(|text| text.path == Path::new("CHANGELOG.md"));
    if !changelog.as_ref().is_some_and(unreleased) {
        findings.push(Finding::in_file(
            Path::new("CHANGELOG.md"),
            "no section `## Unreleased`",
        ));
    }
    findings
}

/// The tests that docs/vulnerabilities.md names in its last column exist; `…` stands for a part of
/// a name.
fn missing_tests(texts: &[Text]) -> Vec<Finding> {
    let page = texts
        .iter()
        .find(|text| text.path == Path::new("docs/vulnerabilities.md"));
    let code = texts.iter().filter(|text| text.has_extension("rs"));
    let functions: Vec<&str> = code
        .flat_map(|text| text.text.lines())
        .filter_map(function)
        .collect();
    let mut findings = Vec::new();
    for (number, line) in page.iter().flat_map(|page| page.lines()) {
        let Some(tests) = line
            .strip_suffix(" |")
            .and_then(|line| line.rsplit(" | ").next())
        else {
            continue;
        };
        for named in tests
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('_'))
        {
            if !functions.iter().any(|function| matches(function, named)) {
                let text = format!("no test is called `{named}`");
                findings.push(Finding::at_line(
                    Path::new("docs/vulnerabilities.md"),
                    number,
                    text,
                ));
            }
        }
    }
    findings
}

fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.split('(').next()
}

/// Whether the parts between `…` follow each other in the name, the first at its beginning.
fn matches(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    pattern.ends_with('…') || rest.is_empty()
}

/// The lines outside fenced code, with their numbers.
fn prose(text: &Text) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        if fence {
            fenced = !fenced;
        }
        !fenced && !fence
    })
}

/// The targets of `[text](target)`, code spans apart.
fn links(text: &Text) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let outside_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let mut rest = outside_code.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, left)) = after.split_once(')') else {
                break;
            };
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((number, target.to_owned()));
            rest = left;
        }
    }
    found
}

fn unresolved(from: &Path, target: &str, anchors: &HashMap<&Path, Vec<String>>) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let path = if file.is_empty() {
        from.to_owned()
    } else {
        resolve(from, file)
    };
    if !tree::root().join(&path).exists() {
        return Some(format!("`{target}` leads nowhere"));
    }
    let anchor = anchor?;
    let known = anchors.get(path.as_path())?;
    let missing = !known.iter().any(|a| a == anchor);
    missing.then(|| format!("`{target}`: {} has no such heading", path.display()))
}

fn resolve(from: &Path, file: &str) -> PathBuf {
    let mut path = from.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(file).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &Text) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept
            .flat_map(char::to_lowercase)
            .collect::<String>()
            .replace(' ', "-");
        let repeats = anchors.iter().filter(|anchor| **anchor == slug).count();
        anchors.push(if repeats == 0 {
            slug
        } else {
            format!("{slug}-{repeats}")
        });
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_names_it_stands_for() {
        assert!(matches("top_n_0_sends_the_header", "top_n_0_…"));
        assert!(matches(
            "octets_x_plaintext_after_stls_y",
            "octets_…_plaintext_after_stls…"
        ));
        assert!(matches("exact", "exact"));
        assert!(!matches("exactly", "exact"));
        assert!(!matches("a_top_n_0", "top_n_0…"));
    }

    #[test]
    fn anchors_are_made_as_by_github() {
        let text = Text {
            path: "a.md".into(),
            text: "# One `two`, three\n```\n# code\n```\n## One\n## One\n".into(),
        };
        assert_eq!(anchors(&text), ["one-two-three", "one", "one-1"]);
    }

    #[test]
    fn links_in_code_are_no_links() {
        let text = Text {
            path: "a.md".into(),
            text: "[a](b.md#c) and `[d](e.md)`\n```\n[f](g.md)\n```\n".into(),
        };
        assert_eq!(links(&text), [(1, "b.md#c".to_owned())]);
    }
}

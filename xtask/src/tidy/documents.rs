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

//! What every Rust file keeps: length, first line, name, and no leftovers.

use std::path::{Component, Path};

use crate::finding::Finding;
use crate::tree::Text;

const LINES_MAX: usize = 600;

/// Names that say nothing. The thing has a name; find it.
const EMPTY_NAMES: [&str; 13] = [
    "common",
    "constant",
    "constants",
    "handy",
    "helper",
    "helpers",
    "manager",
    "misc",
    "shared",
    "type",
    "types",
    "util",
    "utils",
];

/// Text of the protocol that only the protocol crate and its driver's machine may know.
const PROTOCOL_TEXT: &str = "+OK";
const KNOW_NO_PROTOCOL: [&str; 2] = ["crates/restante/src", "crates/restante-server/src/driver"];

pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in texts {
        findings.extend(machine_paths(text));
        if text.has_extension("rs") {
            findings.extend(shape(text));
            findings.extend(leftovers(text));
            findings.extend(protocol_text(text));
        }
    }
    findings
}

fn shape(text: &Text) -> Vec<Finding> {
    let path = &text.path;
    let mut findings = Vec::new();
    let lines = text.text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::in_file(
            path,
            format!("{lines} lines; stop at {LINES_MAX}"),
        ));
    }
    if !text.text.starts_with("//!") {
        findings.push(Finding::at_line(
            path,
            1,
            "the first line is a `//!` that says what this is",
        ));
    }
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        findings.push(Finding::in_file(
            path,
            "`foo.rs` beside `foo/`, not `foo/mod.rs`",
        ));
    }
    for name in path.components().filter_map(plain_name) {
        if EMPTY_NAMES.contains(&name) {
            findings.push(Finding::in_file(path, format!("`{name}` is an empty name")));
        }
    }
    findings
}

fn plain_name(component: Component<'_>) -> Option<&str> {
    let Component::Normal(name) = component else {
        return None;
    };
    Path::new(name).file_stem()?.to_str()
}

/// A pattern that has no place in finished code, and what to do instead.
///
/// The patterns are written in two halves, so that this file does not contain them.
fn leftovers(text: &Text) -> Vec<Finding> {
    let patterns = [
        (concat!("dbg", "!("), "left over from debugging"),
        (concat!("todo", "!("), "write it"),
        (concat!("unimplemented", "!("), "write it"),
        (concat!("FIX", "ME"), "put it right"),
        (
            concat!("TO", "DO"),
            "do it, or make it a planned requirement",
        ),
        (
            concat!("#[ig", "nore"),
            "a test that does not run is no test",
        ),
        (concat!("#[should", "_panic"), "assert on the error instead"),
        (concat!("#[al", "low("), "`#[expect(lint, reason = \"…\")]`"),
        (
            concat!("#![al", "low("),
            "`#![expect(lint, reason = \"…\")]`",
        ),
        (
            concat!("\"/t", "mp/"),
            "no shared temporary directory: `tempfile`",
        ),
    ];
    let mut findings = Vec::new();
    for (number, line) in text.lines() {
        for (pattern, remedy) in patterns {
            if line.contains(pattern) {
                let found = format!("`{pattern}`: {remedy}");
                findings.push(Finding::at_line(&text.path, number, found));
            }
        }
        if words(line).any(|word| word == concat!("X", "XX")) {
            findings.push(Finding::at_line(
                &text.path,
                number,
                "a mark left for later",
            ));
        }
    }
    findings.extend(expectations_without_reason(text));
    findings
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric())
}

/// An expectation may stretch over lines; the attribute ends with its bracket.
fn expectations_without_reason(text: &Text) -> Vec<Finding> {
    let mut findings = Vec::new();
    for start in [concat!("#[exp", "ect("), concat!("#![exp", "ect(")] {
        for (at, _) in text.text.match_indices(start) {
            let rest = text.text.get(at..).unwrap_or_default();
            let attribute = rest.split(")]").next().unwrap_or_default();
            if !attribute.contains("reason") {
                let line = text.text.get(..at).unwrap_or_default().lines().count();
                let found = "an expectation without a reason";
                findings.push(Finding::at_line(&text.path, line.max(1), found));
            }
        }
    }
    findings
}

/// A path that exists on one machine only.
fn machine_paths(text: &Text) -> Vec<Finding> {
    let patterns = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/bash", "_jobs"),
    ];
    let mut findings = Vec::new();
    for (number, line) in text.lines() {
        for pattern in patterns {
            let mut before = line
                .match_indices(pattern)
                .map(|(at, _)| line[..at].chars().last());
            let begins_a_path =
                |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || "._-}".contains(c));
            if before.any(begins_a_path) {
                let found = format!("`{pattern}` is the path of one machine");
                findings.push(Finding::at_line(&text.path, number, found));
            }
        }
    }
    findings
}

/// Tests apart: they look at what a peer would see.
fn protocol_text(text: &Text) -> Vec<Finding> {
    let path = text.path.to_string_lossy();
    let bound = KNOW_NO_PROTOCOL.iter().any(|start| path.starts_with(start));
    if !bound || path.ends_with("tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let code = text.lines().take_while(|(_, line)| *line != "#[cfg(test)]");
    let known = code.filter(|(_, line)| line.contains(PROTOCOL_TEXT));
    known
        .map(|(number, _)| {
            Finding::at_line(&text.path, number, "the protocol's text belongs to floor 0")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let text = Text {
            path: path.into(),
            text: text.to_owned(),
        };
        check(&[text]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tidy_file_is_left_alone() {
        let source = "//! A file.\n#[expect(dead_code, reason = \"shown\")]\nfn f() {}\n";
        assert_eq!(
            complaints("crates/restante/src/mailbox.rs", source),
            [""; 0]
        );
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let breaches = [
            ("crates/a/src/utils.rs", "//! A.\n"),
            ("crates/a/src/mailbox/mod.rs", "//! A.\n"),
            ("crates/a/src/a.rs", "fn main() {}\n"),
            ("crates/a/src/a.rs", concat!("//! A.\ndbg", "!(1);\n")),
            (
                "crates/a/src/a.rs",
                concat!("//! A.\n#[al", "low(dead_code)]\n"),
            ),
            (
                "crates/a/src/a.rs",
                concat!("//! A.\n#[exp", "ect(dead_code)]\n"),
            ),
            ("crates/a/src/a.rs", concat!("//! A.\n// X", "XX later\n")),
            ("docs/a.md", concat!("see /ro", "ot/file\n")),
            (
                "crates/restante/src/a.rs",
                "//! A.\nconst A: &str = \"+OK\";\n",
            ),
        ];
        for (path, text) in breaches {
            assert_eq!(complaints(path, text).len(), 1, "{path}: {text}");
        }
        let long = "//! A.\n".repeat(LINES_MAX + 1);
        assert_eq!(complaints("crates/a/src/a.rs", &long).len(), 1);
        let just = "//! A.\n".repeat(LINES_MAX);
        assert_eq!(complaints("crates/a/src/a.rs", &just).len(), 0);
    }
}

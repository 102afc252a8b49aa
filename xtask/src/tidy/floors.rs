//! The floors of the house: arrows between crates only point down, and floor 0 does no I/O.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::finding::Finding;
use crate::process;
use crate::tree::Text;

/// Every crate of ours and the floor it stands on. A new crate gets its line here and in
/// ARCHITECTURE.md, in a commit of its own.
const FLOORS: [(&str, u8); 8] = [
    ("restante-proto", 0),
    ("restante-sasl", 0),
    ("restante-maildrop", 1),
    ("restante-cluster", 1),
    ("restante-client", 1),
    ("restante-server", 2),
    ("restante-fetch", 2),
    ("restante", 3),
];

/// What floor 0 may stand on: nothing that knows a socket, a file, a clock or randomness.
const FLOOR_0_DEPENDENCIES: [&str; 15] = [
    "base64",
    "hmac",
    "md-5",
    "memchr",
    "pbkdf2",
    "secrecy",
    "serde_json",
    "sha1",
    "sha2",
    "spki",
    "stringprep",
    "subtle",
    "thiserror",
    "unicode-normalization",
    "zeroize",
];

/// Words that do not occur in the code of floor 0, tests apart.
const FLOOR_0_ABSENT: [&str; 6] = [
    "extern crate std",
    "async fn",
    "async move",
    ".await",
    "std::",
    "unsafe ",
];

pub(super) fn check(texts: &[Text]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in packages()? {
        findings.extend(arrows(&package)?);
        if floor(&package.name) == Some(0) {
            findings.extend(floor_0(&package, texts));
        }
    }
    Ok(findings)
}

struct Package {
    name: String,
    /// Relative to the root.
    manifest: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Compiled for tests alone.
    development: bool,
}

/// The packages of the workspace, from cargo itself.
fn packages() -> Result<Vec<Package>> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let json = process::output_of(process::cargo().args(arguments))?;
    let metadata: Value = serde_json::from_str(&json).context("cargo metadata")?;
    let root = metadata["workspace_root"]
        .as_str()
        .context("workspace_root")?;
    let Some(packages) = metadata["packages"].as_array() else {
        bail!("cargo metadata lists no packages");
    };
    packages
        .iter()
        .map(|package| read(package, Path::new(root)))
        .collect()
}

fn read(package: &Value, root: &Path) -> Result<Package> {
    let name = package["name"].as_str().context("package name")?.to_owned();
    let manifest = Path::new(package["manifest_path"].as_str().context("manifest_path")?);
    let manifest = manifest.strip_prefix(root).unwrap_or(manifest).to_owned();
    let mut dependencies = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let name = dependency["name"]
            .as_str()
            .context("dependency name")?
            .to_owned();
        dependencies.push(Dependency {
            name,
            development: dependency["kind"] == "dev",
        });
    }
    Ok(Package {
        name,
        manifest,
        dependencies,
    })
}

fn floor(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(of, _)| *of == name)
        .map(|(_, floor)| *floor)
}

fn arrows(package: &Package) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let ours = package
        .dependencies
        .iter()
        .filter(|d| d.name.starts_with("restante"));
    let Some(from) = floor(&package.name) else {
        if package.name == "xtask" {
            let text = "xtask depends on no crate of the house";
            findings.extend(ours.map(|_| Finding::in_file(&package.manifest, text)));
        } else {
            let text = format!(
                "`{}` has no floor in xtask/src/tidy/floors.rs",
                package.name
            );
            findings.push(Finding::in_file(&package.manifest, text));
        }
        return Ok(findings);
    };
    for dependency in ours {
        // A crate may turn on its own features for its tests.
        if dependency.development && dependency.name == package.name {
            continue;
        }
        let to = floor(&dependency.name)
            .with_context(|| format!("`{}` has no floor", dependency.name))?;
        if to >= from {
            let text = format!(
                "`{}` (floor {from}) must not depend on `{}` (floor {to}): arrows point down",
                package.name, dependency.name
            );
            findings.push(Finding::in_file(&package.manifest, text));
        }
    }
    Ok(findings)
}

fn floor_0(package: &Package, texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in package.dependencies.iter().filter(|d| !d.development) {
        if !FLOOR_0_DEPENDENCIES.contains(&dependency.name.as_str()) {
            let text = format!("`{}` is not for floor 0", dependency.name);
            findings.push(Finding::in_file(&package.manifest, text));
        }
    }
    let source = package.manifest.with_file_name("src");
    let library = source.join("lib.rs");
    let files = texts.iter().filter(|text| text.path.starts_with(&source));
    for text in files.filter(|text| text.has_extension("rs")) {
        if text.path == library && !text.text.lines().any(|line| line == "#![no_std]") {
            findings.push(Finding::in_file(&text.path, "floor 0 is `#![no_std]`"));
        }
        if text.path.ends_with("tests.rs")
            || text.path.components().any(|c| c.as_os_str() == "tests")
        {
            continue;
        }
        for (number, line) in text.lines() {
            if line == "#[cfg(test)]" {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            for word in FLOOR_0_ABSENT
                .iter()
                .filter(|word| contains_word(code, word))
            {
                let text_of = format!("`{}` has no place on floor 0", word.trim());
                findings.push(Finding::at_line(&text.path, number, text_of));
            }
        }
    }
    findings
}

/// Whether the text stands in the code and does not go on as a longer name.
fn contains_word(code: &str, text: &str) -> bool {
    code.match_indices(text).any(|(at, _)| {
        let after = code.get(at + text.len()..).unwrap_or_default();
        let names = text.ends_with(char::is_alphanumeric);
        !(names && after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

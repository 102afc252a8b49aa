//! Foreign crates: each has its reason, all come from one registry, and one does cryptography.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::{process, tree};

const REASONS: &str = "docs/dependencies.md";
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A second provider beside aws-lc-rs, or a way to one.
const SECOND_PROVIDERS: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "boring"];

pub(super) fn check() -> Result<Vec<Finding>> {
    let mut findings = reasons()?;
    findings.extend(sources()?);
    findings.extend(providers()?);
    Ok(findings)
}

/// Each foreign crate that we name has a row, and each row names a crate that we use.
fn reasons() -> Result<Vec<Finding>> {
    let page = tree::read(REASONS)?;
    let mut reasoned: Vec<(usize, &str)> = Vec::new();
    for (number, line) in page.lines().filter(|(_, line)| line.starts_with('|')) {
        let names = line.split('|').nth(1).unwrap_or_default();
        reasoned.extend(names.split(',').map(|name| (number, name.trim())));
    }
    let used = foreign()?;
    let mut findings = Vec::new();
    for name in used
        .iter()
        .filter(|name| !reasoned.iter().any(|(_, r)| r == *name))
    {
        let text = format!("`{name}` has no row: say why it is worth having");
        findings.push(Finding::in_file(Path::new(REASONS), text));
    }
    for (number, name) in reasoned {
        let heading = name == "crate" || name.starts_with("--") || name.is_empty();
        if !heading && !used.iter().any(|used| used == name) {
            let text = format!("`{name}` is not a dependency any more");
            findings.push(Finding::at_line(Path::new(REASONS), number, text));
        }
    }
    Ok(findings)
}

/// The names of the foreign crates in our manifests.
fn foreign() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in MANIFESTS
        .iter()
        .filter(|path| tree::root().join(path).exists())
    {
        let manifest: toml::Table = tree::read(path)?.text.parse().with_context(|| *path)?;
        let workspace = manifest
            .get("workspace")
            .and_then(|w| w.get("dependencies"));
        for table in [workspace, manifest.get("dependencies")]
            .into_iter()
            .flatten()
        {
            names.extend(table.as_table().into_iter().flat_map(|t| t.keys()).cloned());
        }
    }
    names.retain(|name| !name.starts_with("restante"));
    names.sort();
    names.dedup();
    Ok(names)
}

fn sources() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let path = Path::new("Cargo.lock");
    let lock: toml::Table = tree::read("Cargo.lock")?
        .text
        .parse()
        .context("Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    for package in packages.into_iter().flatten() {
        let name = package
            .get("name")
            .and_then(toml::Value::as_str)
            .unwrap_or_default();
        let source = package.get("source").and_then(toml::Value::as_str);
        if source.is_some_and(|source| source != REGISTRY) {
            findings.push(Finding::in_file(
                path,
                format!("`{name}` is not from crates.io"),
            ));
        }
    }
    Ok(findings)
}

/// What is compiled, not what the lock file names: it also holds what could be switched on.
fn providers() -> Result<Vec<Finding>> {
    let what = [
        "tree",
        "--workspace",
        "--all-features",
        "--target",
        "all",
        "--edges",
        "all",
    ];
    let form = ["--prefix", "none", "--format", "{p}"];
    let tree = process::output_of(process::cargo().args(what).args(form))?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<&str> = names.collect();
    let second = SECOND_PROVIDERS.iter().filter(|name| names.contains(*name));
    let say = |name: &&str| {
        let text = format!("`{name}`: aws-lc-rs is the one cryptographic provider");
        Finding::in_file(Path::new("Cargo.toml"), text)
    };
    Ok(second.map(say).collect())
}

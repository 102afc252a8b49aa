//! `cargo xtask requirements`: the list of obligations against the tests that cite them.
//!
//! A test proves an id whose lower-case form is in the test's name (`r1939_top_2_…`), or that
//! stands in a `//` comment inside or directly above the test, or in a `#` line of a dialogue file.

mod citation;
mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};

use self::citation::Citation;
use self::list::{List, Row, Status};
use crate::finding::{self, Finding};
use crate::tree;

const LIST: &str = "docs/requirements.md";

/// Checks the list; with `--update` first marks as proven what a test proves.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let update = match arguments {
        [] => false,
        [flag] if flag == "--update" => true,
        _ => bail!("`cargo xtask requirements` takes `--update` and nothing else"),
    };
    let mut list = List::parse(tree::read(LIST)?)?;
    let texts = tree::texts()?;
    let citations = citation::all(&texts, &list);
    let proofs = proofs(&citations);
    if update {
        list.mark_proven(&proofs)?;
    }
    print_counts(&list);
    let mut findings = dangling(&list, &citations);
    findings.extend(list.rows().filter_map(|row| untrue(row, &proofs)));
    finding::report("requirements", &findings)
}

/// The ids that some test cites.
fn proofs(citations: &[Citation]) -> BTreeSet<String> {
    let proving = citations.iter().filter(|citation| citation.proves);
    proving.map(|citation| citation.id.clone()).collect()
}

fn dangling(list: &List, citations: &[Citation]) -> Vec<Finding> {
    let unknown = citations
        .iter()
        .filter(|citation| !list.contains(&citation.id));
    unknown
        .map(|citation| {
            let text = format!("`{}` is not in {LIST}", citation.id);
            Finding::at_line(&citation.path, citation.line, text)
        })
        .collect()
}

/// What is wrong about a row's status, if anything is.
fn untrue(row: &Row, proofs: &BTreeSet<String>) -> Option<Finding> {
    let proven = proofs.contains(&row.id);
    let text = match &row.status {
        Status::Proven if !proven => format!("`{}` is called proven, but no test cites it", row.id),
        Status::Planned(_) if proven => {
            format!(
                "`{}` is called planned, but a test proves it: `--update` says so",
                row.id
            )
        }
        Status::Planned(what) | Status::Deviation(what) if what.is_empty() => {
            format!("`{}` wants a reason after its status", row.id)
        }
        _ => return None,
    };
    Some(Finding::at_line(Path::new(LIST), row.line, text))
}

#[derive(Default)]
struct Count {
    rows: usize,
    proven: usize,
    planned: usize,
    deviations: usize,
}

impl Count {
    fn add(&mut self, status: &Status) {
        self.rows += 1;
        match status {
            Status::Proven => self.proven += 1,
            Status::Planned(_) => self.planned += 1,
            Status::Deviation(_) => self.deviations += 1,
        }
    }
}

fn print_counts(list: &List) {
    let mut sections: BTreeMap<(u32, &str), Count> = BTreeMap::new();
    let mut all = Count::default();
    for row in list.rows() {
        sections
            .entry((row.section, &row.title))
            .or_default()
            .add(&row.status);
        all.add(&row.status);
    }
    println!(
        "{:<52}{:>6}{:>8}{:>9}{:>11}",
        "section", "rows", "proven", "planned", "deviation"
    );
    for ((number, title), count) in &sections {
        print_count(&format!("{number}. {title}"), count);
    }
    print_count("all", &all);
}

fn print_count(title: &str, count: &Count) {
    println!(
        "{title:<52}{:>6}{:>8}{:>9}{:>11}",
        count.rows, count.proven, count.planned, count.deviations
    );
}

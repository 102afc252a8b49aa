//! docs/requirements.md: tables of `| id | level | side | requirement | § | status |`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use super::LIST;
use crate::tree::{self, Text};

/// The whole list, with the text it was read from.
pub(super) struct List {
    lines: Vec<String>,
    rows: Vec<Row>,
}

/// One obligation.
pub(super) struct Row {
    pub(super) id: String,
    /// The number and title of the section it stands in.
    pub(super) section: u32,
    pub(super) title: String,
    pub(super) status: Status,
    /// From 1.
    pub(super) line: usize,
}

/// How an obligation stands.
pub(super) enum Status {
    /// A test proves it.
    Proven,
    /// Work to come, and which part of the product will do it.
    Planned(String),
    /// Deliberately not done, and why.
    Deviation(String),
}

impl List {
    pub(super) fn parse(text: Text) -> Result<Self> {
        let mut rows: Vec<Row> = Vec::new();
        let mut ids = BTreeSet::new();
        let mut section = (0, String::new());
        for (number, line) in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                section = heading_of(heading).unwrap_or_default();
            }
            let cells = cells(line);
            let [id, level, side, _, _, status] = cells.as_slice() else {
                continue;
            };
            if *id == "id" || id.starts_with("--") {
                continue;
            }
            let place = || format!("{LIST}:{number}: `{id}`");
            if !ids.insert((*id).to_owned()) {
                bail!("{}: twice in the list", place());
            }
            if !["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"].contains(level) {
                bail!("{}: `{level}` is no level", place());
            }
            if !["S", "C", "B"].contains(side) {
                bail!("{}: `{side}` is no side", place());
            }
            rows.push(Row {
                id: (*id).to_owned(),
                section: section.0,
                title: section.1.clone(),
                status: Status::parse(status).with_context(place)?,
                line: number,
            });
        }
        if rows.is_empty() {
            bail!("{LIST} has no rows");
        }
        Ok(Self {
            lines: text.text.lines().map(str::to_owned).collect(),
            rows,
        })
    }

    /// Turns planned rows into proven ones where a test says so, and writes the file.
    pub(super) fn mark_proven(&mut self, proofs: &BTreeSet<String>) -> Result<()> {
        for row in self.rows.iter_mut().filter(|row| proofs.contains(&row.id)) {
            if !matches!(row.status, Status::Planned(_)) {
                continue;
            }
            let line = row
                .line
                .checked_sub(1)
                .and_then(|index| self.lines.get_mut(index));
            let line = line.context("a row's line is in the file")?;
            let before = line.trim_end().trim_end_matches('|').rsplit_once(" | ");
            let (before, _) = before.context("a row has cells")?;
            *line = format!("{before} | proven |");
            row.status = Status::Proven;
            println!("proven now: {}", row.id);
        }
        let mut text = self.lines.join("\n");
        text.push('\n');
        fs::write(tree::root().join(LIST), text).with_context(|| format!("writing {LIST}"))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.rows.iter().any(|row| row.id == id)
    }

    /// The first words of all ids (`R1939`, `PRJ`): what begins so and is no id is a mistake.
    pub(super) fn families(&self) -> BTreeSet<&str> {
        self.rows
            .iter()
            .filter_map(|row| row.id.split('-').next())
            .collect()
    }
}

impl Status {
    fn parse(cell: &str) -> Result<Self> {
        let (word, what) = cell.split_once(':').unwrap_or((cell, ""));
        let what = what.trim().to_owned();
        match word {
            "proven" => Ok(Self::Proven),
            "planned" => Ok(Self::Planned(what)),
            "deviation" => Ok(Self::Deviation(what)),
            other => bail!("`{other}` is no status: proven, planned: …, deviation: …"),
        }
    }
}

fn heading_of(heading: &str) -> Option<(u32, String)> {
    let (number, title) = heading.split_once(". ")?;
    Some((number.parse().ok()?, title.to_owned()))
}

/// The cells of a table line; ` | ` parts them.
fn cells(line: &str) -> Vec<&str> {
    let Some(inner) = line
        .trim_end()
        .strip_prefix("| ")
        .and_then(|l| l.strip_suffix(" |"))
    else {
        return Vec::new();
    };
    inner.split(" | ").map(str::trim).collect()
}

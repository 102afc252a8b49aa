//! `user`, `group` and `[sandbox]`: what the server gives up once it has bound its ports.

use super::{expand, value};
use crate::configuration::{Sandbox, Surroundings, document::Document, problem::Problem};

const PATHS: &str = "sandbox.paths";

/// Reads `user` and `group`.
pub(super) fn rights(document: &mut Document<'_>) -> (Option<String>, Option<String>) {
    let user = document.read("user", value::text);
    let group = document.read("group", value::text);
    if user.is_none() && group.is_some() {
        let problem = Problem::new("`group` stands without `user`");
        let hint = "add `user = \"vmail\"`: it may be the group of the same name";
        document.object("group", problem.hint(hint));
    }
    (user, group)
}

/// Reads `[sandbox]`.
pub(super) fn sandbox(document: &mut Document<'_>, surroundings: &Surroundings) -> Sandbox {
    let enabled = document.read("sandbox.enabled", value::truth);
    let mut paths = Vec::new();
    for text in document.read(PATHS, value::texts).unwrap_or_default() {
        match expand(&text, surroundings) {
            Ok(path) => paths.push(path),
            Err(problem) => document.object(PATHS, problem),
        }
    }
    Sandbox {
        enabled: enabled.unwrap_or(true),
        paths,
    }
}

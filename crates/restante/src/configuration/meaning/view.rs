//! `[[mail.view]]` and `mail.show_last`: what POP shows.

use restante_maildrop::{FolderName, ShownFolder, ShownFolders, Shows, Span, Tag};
use toml::{Spanned, de::DeValue};

use crate::configuration::{
    document::Document,
    problem::Problem,
    value::{self, Wrong},
};

const VIEW: &str = "mail.view";
const HINT: &str = "write `[[mail.view]]` with `folder = \"Junk\"` below it, and `tag = \"[junk] \"` \
                    if you like";

/// Reads both.
pub(super) fn read(document: &mut Document<'_>) -> Shows {
    let folders = document.read(VIEW, shown).unwrap_or_default();
    let folders = ShownFolders::new(folders).unwrap_or_else(|error| {
        document.object(VIEW, Problem::new(format!("`{VIEW}`: {error}")).hint(HINT));
        ShownFolders::default()
    });
    let span = document.read("mail.show_last", value::spelled);
    Shows {
        last: span.unwrap_or(Span::All).last(),
        folders,
        only: None,
    }
}

fn shown(value: &Spanned<DeValue<'_>>) -> Result<Vec<ShownFolder>, Wrong> {
    let wrong = |span, text: String| Wrong {
        span,
        text,
        hint: Some(HINT.to_owned()),
    };
    let not_tables = || wrong(value.span(), "must be a list of tables".to_owned());
    let mut folders = Vec::new();
    for element in value.get_ref().as_array().ok_or_else(not_tables)?.iter() {
        let table = element.get_ref().as_table().ok_or_else(not_tables)?;
        let (mut folder, mut tag) = (None, None);
        for (key, value) in table {
            let refused = |error| wrong(value.span(), format!("is wrong: {error}"));
            match key.get_ref().as_ref() {
                "folder" => {
                    let name = FolderName::new(&value::text(value)?);
                    folder = Some(name.map_err(refused)?);
                }
                "tag" => tag = Some(Tag::new(&value::text(value)?).map_err(refused)?),
                other => return Err(wrong(key.span(), format!("has an unknown key `{other}`"))),
            }
        }
        let name = folder.ok_or_else(|| wrong(element.span(), "lacks `folder`".to_owned()))?;
        folders.push(ShownFolder { name, tag });
    }
    Ok(folders)
}

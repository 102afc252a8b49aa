//! `[tls]` and `[[tls.name]]`; `[tls.acme]` has a module of its own.

use toml::{Spanned, de::DeValue};

use super::{acme, expand, path};
use crate::configuration::{
    CertificateFiles, Pop3, Surroundings, Tls,
    document::Document,
    problem::Problem,
    value::{self, Wrong},
};

const NAME: &str = "tls.name";

/// Reads all three.
pub(super) fn read(document: &mut Document<'_>, surroundings: &Surroundings, pop3: &Pop3) -> Tls {
    let certificate = path(document, "tls.certificate", surroundings);
    let key = path(document, "tls.key", surroundings);
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            let problem = Problem::new("`tls.certificate` stands without `tls.key`");
            let hint = "add `key = \"…/privkey.pem\"`";
            document.object("tls.certificate", problem.hint(hint));
            None
        }
        (None, Some(_)) => {
            let problem = Problem::new("`tls.key` stands without `tls.certificate`");
            let hint = "add `certificate = \"…/fullchain.pem\"`";
            document.object("tls.key", problem.hint(hint));
            None
        }
    };
    let strict_sni = document.read("tls.strict_sni", value::truth);
    Tls {
        certificate,
        named: named(document, surroundings),
        strict_sni: strict_sni.unwrap_or(false),
        client_ca: path(document, "tls.client_ca", surroundings),
        acme: acme::read(document, surroundings, pop3),
    }
}

fn named(document: &mut Document<'_>, surroundings: &Surroundings) -> Vec<CertificateFiles> {
    let mut named = Vec::new();
    for (certificate, key) in document.read(NAME, pairs).unwrap_or_default() {
        let files = expand(&certificate, surroundings).and_then(|certificate| {
            let key = expand(&key, surroundings)?;
            Ok(CertificateFiles { certificate, key })
        });
        match files {
            Ok(files) => named.push(files),
            Err(problem) => document.object(NAME, problem),
        }
    }
    named
}

/// The certificates and keys of `[[tls.name]]` as they are written.
fn pairs(value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, String)>, Wrong> {
    let wrong = |span, text: &str| Wrong {
        span,
        text: text.to_owned(),
        hint: Some("write `[[tls.name]]` with `certificate` and `key` below it".to_owned()),
    };
    let not_tables = || wrong(value.span(), "must be a list of tables");
    let mut pairs = Vec::new();
    for element in value.get_ref().as_array().ok_or_else(not_tables)?.iter() {
        let table = element.get_ref().as_table().ok_or_else(not_tables)?;
        let (mut certificate, mut key) = (None, None);
        for (name, value) in table {
            match name.get_ref().as_ref() {
                "certificate" => certificate = Some(value::text(value)?),
                "key" => key = Some(value::text(value)?),
                other => {
                    let text = format!("has an unknown key `{other}`");
                    return Err(wrong(name.span(), &text));
                }
            }
        }
        let pair = certificate.zip(key);
        pairs.push(pair.ok_or_else(|| wrong(element.span(), "lacks `certificate` or `key`"))?);
    }
    Ok(pairs)
}

//! Dovecot's mail location: `maildir:~/Maildir`, with its variables.

use std::path::{Component, Path, PathBuf};

use super::entry::Fault;

const REMEDY: &str = "write `maildir:` and an absolute path, or one that begins with `~/`";

/// Options of a location that leave the INBOX where it is.
const HARMLESS_OPTIONS: [&str; 6] = [
    "INDEX",
    "CONTROL",
    "LAYOUT",
    "VOLATILEDIR",
    "INDEXPVT",
    "SUBSCRIPTIONS",
];

/// The directory that a location of account `name` means.
pub(super) fn parse(text: &str, name: &str, home: Option<&str>) -> Result<PathBuf, Fault> {
    let rest = text
        .strip_prefix("maildir:")
        .ok_or_else(|| Fault::new("mail location is not a Maildir", REMEDY))?;
    let mut options = rest.split(':');
    let mut place = options.next().unwrap_or_default();
    for option in options {
        match option.split_once('=') {
            Some(("INBOX", inbox)) => place = inbox,
            Some((key, _)) if HARMLESS_OPTIONS.contains(&key) => {}
            _ => {
                return Err(Fault::new(
                    "option of the mail location is not understood",
                    REMEDY,
                ));
            }
        }
    }
    let place = expand(place, name, home)?;
    let place = PathBuf::from(place);
    is_safe(&place)
        .then_some(place)
        .ok_or_else(|| Fault::new("mail location is not an absolute path without `..`", REMEDY))
}

/// Whether a path is absolute and climbs nowhere.
pub(in crate::accounts) fn is_safe(path: &Path) -> bool {
    let climbs = path
        .components()
        .any(|part| matches!(part, Component::ParentDir));
    path.is_absolute() && !climbs && !path.as_os_str().as_encoded_bytes().contains(&0)
}

/// Replaces `~/` and the simple variables, in the spelling of Dovecot 2.3 and 2.4.
fn expand(text: &str, name: &str, home: Option<&str>) -> Result<String, Fault> {
    let home = || home.ok_or_else(|| Fault::new("mail location needs a home directory", REMEDY));
    let (user, domain) = match name.rsplit_once('@') {
        Some((user, domain)) => (user, domain),
        None => (name, ""),
    };
    let mut expanded = String::new();
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~') {
        if !after.is_empty() && !after.starts_with('/') {
            return Err(Fault::new(
                "mail location in somebody else's home directory",
                REMEDY,
            ));
        }
        expanded.push_str(home()?);
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('%') {
        expanded.push_str(before);
        let (variable, after) = variable(after)
            .ok_or_else(|| Fault::new("variable in the mail location is not understood", REMEDY))?;
        match variable {
            Variable::Percent => expanded.push('%'),
            Variable::Address => expanded.push_str(name),
            Variable::User => expanded.push_str(user),
            // `/var/mail/%d` without a domain would be a directory above everybody's.
            Variable::Domain if domain.is_empty() => {
                return Err(Fault::new("mail location needs a domain", REMEDY));
            }
            Variable::Domain => expanded.push_str(domain),
            Variable::Home => expanded.push_str(home()?),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

enum Variable {
    Percent,
    Address,
    User,
    Domain,
    Home,
}

/// What stands after a `%`, and what follows it.
fn variable(text: &str) -> Option<(Variable, &str)> {
    if let Some(rest) = text.strip_prefix('{') {
        let (name, rest) = rest.split_once('}')?;
        let name: String = name.split_whitespace().collect();
        let variable = match name.as_str() {
            "user" => Variable::Address,
            "user|username" | "username" => Variable::User,
            "user|domain" | "domain" => Variable::Domain,
            "home" => Variable::Home,
            _ => return None,
        };
        return Some((variable, rest));
    }
    let mut characters = text.chars();
    let variable = match characters.next()? {
        '%' => Variable::Percent,
        'u' => Variable::Address,
        'n' => Variable::User,
        'd' => Variable::Domain,
        'h' => Variable::Home,
        _ => return None,
    };
    Some((variable, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<String, String> {
        let place = parse(text, "tim@a.example", Some("/home/tim"));
        place
            .map(|path| path.display().to_string())
            .map_err(|fault| fault.what)
    }

    #[test]
    fn simple_variables_are_expanded_in_both_spellings() {
        for (text, expected) in [
            ("maildir:/var/mail/x", "/var/mail/x"),
            ("maildir:~/Maildir", "/home/tim/Maildir"),
            ("maildir:~", "/home/tim"),
            ("maildir:/v/%d/%n", "/v/a.example/tim"),
            ("maildir:/v/%u", "/v/tim@a.example"),
            ("maildir:%h/M", "/home/tim/M"),
            ("maildir:/v/100%%", "/v/100%"),
            ("maildir:/v/%{user}", "/v/tim@a.example"),
            ("maildir:/v/%{domain}/%{username}", "/v/a.example/tim"),
            (
                "maildir:/v/%{user | domain}/%{user|username}",
                "/v/a.example/tim",
            ),
            (
                "maildir:%{home}/M:LAYOUT=fs:INDEX=/var/index/%u",
                "/home/tim/M",
            ),
            ("maildir:~/Mail:INBOX=~/Inbox", "/home/tim/Inbox"),
        ] {
            assert_eq!(place(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_that_would_have_to_be_guessed_is_refused() {
        for bad in [
            "",
            "mbox:~/mail",
            "mdbox:~/mdbox",
            "/var/mail/x",
            "~/Maildir",
            "maildir:",
            "maildir:Maildir",
            "maildir:~other/Maildir",
            "maildir:/v/%x",
            "maildir:/v/%Lu",
            "maildir:/v/%{env:HOME}",
            "maildir:/v/%",
            "maildir:/v/%{user",
            "maildir:/v/../x",
            "maildir:~/../x",
            "maildir:~/Maildir:DIRNAME=x",
            "maildir:~/Maildir:x",
            "maildir:/v/\0",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
        assert!(parse("maildir:~/Maildir", "tim", None).is_err());
    }

    #[test]
    fn a_name_without_domain_has_none_to_expand() {
        assert!(parse("maildir:/v/%d/%n", "tim", None).is_err());
        let path = parse("maildir:/v/%n", "tim", None).map_err(|fault| fault.what);
        assert_eq!(path, Ok(PathBuf::from("/v/tim")));
    }
}

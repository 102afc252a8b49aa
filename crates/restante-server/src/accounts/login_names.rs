//! From the name that somebody has typed to the names under which the account may be kept.

use restante_maildrop::FolderName;

/// How many octets a name may have: 64 for the user and 255 for the domain (RFC 5321 §4.5.3.1),
/// and room for odd user names.
const NAME_OCTETS_MAX: usize = 512;

/// How claimed names become account names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LoginNames {
    default_domain: Option<String>,
}

impl LoginNames {
    /// `default_domain` is added to names without `@`; it is lower-cased here.
    #[must_use]
    pub fn new(default_domain: Option<&str>) -> Self {
        Self {
            default_domain: default_domain.map(str::to_ascii_lowercase),
        }
    }

    /// The names to look up, in this order, the first that exists counting: as claimed,
    /// lower-cased, lower-cased with the default domain. Empty if nobody can have such a name.
    ///
    /// A `user+folder` is looked up as it stands; [`LoginNames::folders`] reads it otherwise.
    #[must_use]
    pub fn candidates(&self, claimed: &str) -> Vec<String> {
        if !is_possible(claimed) {
            return Vec::new();
        }
        let lower = claimed.to_ascii_lowercase();
        let mut candidates = vec![claimed.to_owned()];
        if lower != claimed {
            candidates.push(lower.clone());
        }
        match &self.default_domain {
            Some(domain) if !lower.contains('@') => candidates.push(format!("{lower}@{domain}")),
            _ => {}
        }
        candidates
    }

    /// How the claimed name can be that of an account and one of its folders, `user+folder` with or
    /// without a domain: the best reading first. What follows the last `+` is the folder, or else
    /// what follows the first one.
    #[must_use]
    pub fn folders(&self, claimed: &str) -> Vec<(String, FolderName)> {
        let (local, domain) = match claimed.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (claimed, None),
        };
        let splits = [local.rsplit_once('+'), local.split_once('+')];
        let mut readings = Vec::new();
        for (user, folder) in splits.into_iter().flatten() {
            let Ok(folder) = FolderName::new(folder) else {
                continue;
            };
            let user = domain.map_or(user.to_owned(), |domain| format!("{user}@{domain}"));
            let reading = (user, folder);
            if claimed.len() <= NAME_OCTETS_MAX && !readings.contains(&reading) {
                readings.push(reading);
            }
        }
        readings
    }

    /// One spelling for all names under which somebody may try to log in to one account, whatever
    /// the folder: there are as many folders' names as an attacker likes. An account with a `+` in
    /// its name shares it with the one that has none. `None` if nobody can have such a name.
    #[must_use]
    pub(super) fn canonical_login(&self, claimed: &str) -> Option<String> {
        let (local, domain) = match claimed.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (claimed, None),
        };
        match local.split_once('+') {
            Some((user, _)) if !user.is_empty() => {
                let user = domain.map_or(user.to_owned(), |domain| format!("{user}@{domain}"));
                self.canonical(&user)
            }
            _ => self.canonical(claimed),
        }
    }

    /// Lower-cased names whose canonical spelling is that of `claimed`.
    pub(super) fn alike(&self, claimed: &str) -> Vec<String> {
        let Some(canonical) = self.canonical(claimed) else {
            return Vec::new();
        };
        let short = self.default_domain.as_ref().and_then(|domain| {
            let user = canonical.strip_suffix(domain.as_str())?;
            user.strip_suffix('@').map(str::to_owned)
        });
        [canonical].into_iter().chain(short).collect()
    }

    /// The name that a new account gets: lower-cased, with the default domain if it has none.
    /// `None` if nobody can have such a name.
    #[must_use]
    pub fn canonical(&self, address: &str) -> Option<String> {
        self.candidates(address).pop()
    }
}

/// Whether an account can have this name. It becomes part of paths and of log lines: no `/`, no
/// control character, no `..`, no part that is empty or begins with a dot.
pub(super) fn is_possible(name: &str) -> bool {
    let (user, domain) = match name.rsplit_once('@') {
        Some((user, domain)) => (user, Some(domain)),
        None => (name, None),
    };
    let possible_part = |part: &str| !part.is_empty() && !part.starts_with('.');
    (1..=NAME_OCTETS_MAX).contains(&name.len())
        && possible_part(user)
        && domain.is_none_or(possible_part)
        && !name.contains("..")
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_tried_as_typed_then_lower_then_with_the_domain() {
        let names = LoginNames::new(Some("Example.com"));
        assert_eq!(names.candidates("Tim"), ["Tim", "tim", "tim@example.com"]);
        assert_eq!(names.candidates("tim"), ["tim", "tim@example.com"]);
        assert_eq!(
            names.candidates("Tim@Home.example"),
            ["Tim@Home.example", "tim@home.example"]
        );
        assert_eq!(LoginNames::new(None).candidates("Tim"), ["Tim", "tim"]);
        assert_eq!(names.canonical("Tim").as_deref(), Some("tim@example.com"));
        assert_eq!(names.canonical("Tim@A.b").as_deref(), Some("tim@a.b"));
    }

    #[test]
    fn spellings_of_one_canonical_name_are_alike() {
        let names = LoginNames::new(Some("a.example"));
        for claimed in ["Tim", "tim", "TIM@A.example"] {
            assert_eq!(names.alike(claimed), ["tim@a.example", "tim"], "{claimed}");
        }
        assert_eq!(names.alike("Tim@b.example"), ["tim@b.example"]);
        assert_eq!(names.alike("tim@xa.example"), ["tim@xa.example"]);
        assert_eq!(LoginNames::new(None).alike("Tim"), ["tim"]);
        assert!(names.alike("../x").is_empty());
    }

    #[test]
    fn a_name_may_end_with_a_folders() {
        let names = LoginNames::new(Some("example.com"));
        let folders = |claimed| -> Vec<(String, String)> {
            let folders = names.folders(claimed).into_iter();
            folders
                .map(|(user, folder)| (user, folder.as_str().to_owned()))
                .collect()
        };
        let read = |user: &str, folder: &str| (user.to_owned(), folder.to_owned());
        assert_eq!(folders("me"), []);
        assert_eq!(folders("Me+Junk"), [read("Me", "Junk")]);
        assert_eq!(folders("me+Junk@a.b"), [read("me@a.b", "Junk")]);
        assert_eq!(folders("me+inbox"), [read("me", "INBOX")]);
        assert_eq!(folders("me+Lists.rust"), [read("me", "Lists.rust")]);
        assert_eq!(
            folders("a+b+Junk"),
            [read("a+b", "Junk"), read("a", "b+Junk")]
        );
        assert_eq!(folders("me+c++"), [read("me", "c++")]);
        for bad in ["me+", "+", "me+../x", "me+.x", "me+a..b", "me+a\nb"] {
            assert_eq!(folders(bad), [], "{bad:?}");
        }
        // First of all it is a name as others are.
        assert_eq!(
            names.candidates("me+Junk@a.b"),
            ["me+Junk@a.b", "me+junk@a.b"]
        );
    }

    #[test]
    fn all_folders_of_one_account_are_one_name() {
        let names = LoginNames::new(Some("example.com"));
        for claimed in [
            "me",
            "Me+Junk",
            "me+a+b",
            "ME@example.com",
            "me+x@Example.com",
            "me+..",
        ] {
            let canonical = names.canonical_login(claimed);
            assert_eq!(canonical.as_deref(), Some("me@example.com"), "{claimed}");
        }
        let odd = names.canonical_login("+x");
        assert_eq!(odd.as_deref(), Some("+x@example.com"));
        assert_eq!(names.canonical_login("../x+y"), None);
    }

    #[test]
    fn names_that_would_leave_their_directory_are_nobodys() {
        let names = LoginNames::new(Some("example.com"));
        for bad in [
            "",
            "/",
            "../x",
            "..",
            ".",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{7f}b",
            "a\u{85}b",
            "a..b",
            "@",
            "@example.com",
            "a@",
            "a@.example",
            ".hidden",
            "x@..",
            "a@b/../c",
        ] {
            assert!(names.candidates(bad).is_empty(), "{bad:?}");
            assert_eq!(names.canonical(bad), None, "{bad:?}");
        }
        for (octets, fits) in [(511, true), (512, true), (513, false)] {
            assert_eq!(
                names.candidates(&"x".repeat(octets)).is_empty(),
                !fits,
                "{octets}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_candidate_leads_out_of_a_directory(claimed in "[a./@\\\\\0A]{0,8}") {
            for name in LoginNames::new(Some("d")).candidates(&claimed) {
                let path = std::path::Path::new("/base").join(&name);
                prop_assert_eq!(path.components().count(), 3);
                prop_assert!(!name.split('@').next_back().unwrap_or_default().starts_with('.'));
            }
        }
    }
}

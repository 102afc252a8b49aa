//! From the name that somebody has typed to the names under which the account may be kept.

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
    /// A `user+folder` is looked up as it stands. Views of folders are not there yet, so unless
    /// somebody has exactly that name it is unknown: opening the INBOX instead would show the
    /// wrong mail.
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
    fn a_folder_is_part_of_the_name_and_so_unknown() {
        let names = LoginNames::new(None);
        assert_eq!(
            names.candidates("tim+junk@a.example"),
            ["tim+junk@a.example"]
        );
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

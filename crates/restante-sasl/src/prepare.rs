//! SASLprep (RFC 4013): two ways of typing the same name compare equal.

use alloc::{borrow::ToOwned as _, string::String};

use stringprep::tables;
use unicode_normalization::UnicodeNormalization as _;

/// Why a text cannot be prepared. Nobody can have such a name: authentication fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// A character that no name or password may hold (RFC 4013 §2.3).
    #[error("prohibited character")]
    Prohibited,
    /// Right-to-left and left-to-right characters are mixed (RFC 4013 §2.4).
    #[error("mixed writing directions")]
    Directions,
    /// A character that Unicode 3.2 does not know, in a stored text (RFC 4013 §2.5).
    #[error("character without assignment in unicode 3.2")]
    Unassigned,
    /// Nothing is left of it (R5034-PREP-1).
    #[error("empty after preparation")]
    Empty,
}

/// Prepares a presented name or password with SASLprep as a *query* (RFC 3454 §7): unassigned
/// code points are allowed.
///
/// An empty text stays empty.
///
/// # Errors
/// [`PrepareError`]; [`PrepareError::Empty`] if the text was not empty and its preparation is.
pub fn prepare(text: &str) -> Result<String, PrepareError> {
    // RFC 4013 has nothing to change in printable ASCII; nearly all texts end here.
    if text.bytes().all(|octet| matches!(octet, 0x20..=0x7E)) {
        return Ok(text.to_owned());
    }
    // §2.1. U+200B is in both tables; as in RFC 4013's order of words, it becomes a space.
    let mapped = text
        .chars()
        .map(|c| {
            if tables::non_ascii_space_character(c) {
                ' '
            } else {
                c
            }
        })
        .filter(|&c| !tables::commonly_mapped_to_nothing(c));
    let prepared: String = mapped.nfkc().collect();
    if prepared.is_empty() {
        return Err(PrepareError::Empty);
    }
    if prepared.chars().any(prohibited) {
        return Err(PrepareError::Prohibited);
    }
    if !directions_are_clear(&prepared) {
        return Err(PrepareError::Directions);
    }
    Ok(prepared)
}

/// Prepares a name or password that is going to be *stored*, or that keys are derived from
/// (RFC 5802 §2.2): like [`prepare`], but unassigned code points are refused.
///
/// # Errors
/// [`PrepareError`].
pub fn prepare_stored(text: &str) -> Result<String, PrepareError> {
    let prepared = prepare(text)?;
    if prepared.chars().any(tables::unassigned_code_point) {
        return Err(PrepareError::Unassigned);
    }
    Ok(prepared)
}

/// RFC 4013 §2.3: tables C.1.2, C.2.1, C.2.2, C.3 to C.9 of RFC 3454.
fn prohibited(c: char) -> bool {
    tables::non_ascii_space_character(c)
        || tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::surrogate_code(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
}

/// RFC 3454 §6.
fn directions_are_clear(text: &str) -> bool {
    if !text.contains(tables::bidi_r_or_al) {
        return true;
    }
    !text.contains(tables::bidi_l)
        && text.starts_with(tables::bidi_r_or_al)
        && text.ends_with(tables::bidi_r_or_al)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    // RFC 4013 §3, all seven examples.
    #[test]
    fn rfc4013_examples() {
        assert_eq!(prepare("I\u{AD}X").as_deref(), Ok("IX"));
        assert_eq!(prepare("user").as_deref(), Ok("user"));
        assert_eq!(prepare("USER").as_deref(), Ok("USER"));
        assert_eq!(prepare("\u{AA}").as_deref(), Ok("a"));
        assert_eq!(prepare("\u{2168}").as_deref(), Ok("IX"));
        assert_eq!(prepare("\u{7}"), Err(PrepareError::Prohibited));
        assert_eq!(prepare("\u{627}1"), Err(PrepareError::Directions));
    }

    // R5034-PREP-1: an empty result of a non-empty input fails; an empty input is none.
    #[test]
    fn r5034_prep_1_empty_result_fails() {
        assert_eq!(prepare("\u{AD}"), Err(PrepareError::Empty));
        assert_eq!(prepare("").as_deref(), Ok(""));
    }

    #[test]
    fn unassigned_is_a_query_only() {
        assert_eq!(prepare("pass\u{1F600}").as_deref(), Ok("pass\u{1F600}"));
        assert_eq!(
            prepare_stored("pass\u{1F600}"),
            Err(PrepareError::Unassigned)
        );
    }

    #[test]
    fn spaces_become_one_kind() {
        assert_eq!(prepare("a\u{A0}b").as_deref(), Ok("a b"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn agrees_with_the_stringprep_crate(text in "\\PC{0,12}") {
            match (stringprep::saslprep(&text), prepare_stored(&text)) {
                (Ok(theirs), Ok(ours)) => prop_assert_eq!(theirs, ours),
                // It has no opinion about emptiness.
                (Ok(theirs), Err(PrepareError::Empty)) => prop_assert_eq!(theirs, ""),
                (Err(_), Err(_)) => {}
                (theirs, ours) => prop_assert!(false, "{}", format!("{theirs:?} {ours:?}")),
            }
        }
    }
}

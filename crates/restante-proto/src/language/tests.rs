//! Tests of languages and texts.

use super::*;

const LANGUAGES: [Language; 3] = Language::ALL;

fn range(text: &str) -> LanguageRange {
    LanguageRange::new(text.as_bytes()).expect(text)
}

#[test]
fn prj_code_4_and_prj_err_9_no_text_can_be_taken_for_something_else() {
    for text in Text::ALL {
        for language in LANGUAGES {
            let words = text.in_language(language);
            assert!(!words.is_empty(), "{text:?}");
            assert!(!words.starts_with('['), "{words}");
            // R1939-APOP-2: no `<` anywhere, so none in a greeting.
            assert!(!words.contains('<'), "{words}");
            assert!(!words.contains(char::is_control), "{words}");
            assert!(words.len() < 100, "{words}");
        }
    }
}

#[test]
fn r6856_lang_6_basic_ranges_match_by_whole_subtags_in_any_case() {
    for (range_text, tag, matches) in [
        ("de", "de", true),
        ("de", "de-AT", true),
        ("DE", "de-at", true),
        ("de-at", "DE-AT", true),
        ("de", "den", false),
        ("de-AT", "de", false),
        ("de-AT", "de-ATX", false),
        ("en", "i-default", false),
        ("i-default", "i-default", true),
        ("i", "i-default", true),
        ("*", "anything", true),
    ] {
        assert_eq!(
            range(range_text).matches(tag),
            matches,
            "{range_text} {tag}"
        );
    }
    assert_eq!(
        Language::find(&range("i-default"), Language::German),
        Some(Language::Default)
    );
    assert_eq!(
        Language::find(&range("EN"), Language::German),
        Some(Language::English)
    );
}

#[test]
fn r6856_lang_3_and_lang_4_no_match_and_any() {
    assert_eq!(Language::find(&range("fr"), Language::German), None);
    // R6856-LANG-3, R6856-LANG-4.
    assert_eq!(
        Language::find(&range("*"), Language::German),
        Some(Language::German)
    );
}

#[test]
fn ranges_are_what_rfc_4647_says() {
    for legal in ["*", "a", "abcdefgh", "de-1996", "x-a-b-c", "i-default"] {
        assert!(LanguageRange::new(legal.as_bytes()).is_some(), "{legal}");
    }
    for illegal in [
        "",
        "-",
        "de-",
        "-de",
        "abcdefghi",
        "1de",
        "de-abcdefghi",
        "**",
        "de-*",
        "dé",
        "de at",
    ] {
        assert!(
            LanguageRange::new(illegal.as_bytes()).is_none(),
            "{illegal}"
        );
    }
    assert!(LanguageRange::new(b"d\xff").is_none());
}

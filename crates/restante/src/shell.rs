//! Words for a shell: what is printed to be pasted must work as pasted.

/// `word` as one word of a POSIX shell: quoted only if it needs to be.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_what_needs_quotes_gets_them() {
        assert_eq!(quoted("/home/me/a.pem"), "/home/me/a.pem");
        assert_eq!(quoted("/home/me/a b"), "'/home/me/a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("$HOME"), "'$HOME'");
    }
}

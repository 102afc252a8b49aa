//! New passwords: generated, asked for, or read from a pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use secrecy::{ExposeSecret as _, SecretString};

use crate::{exit_code::ExitCode, failure::Failure};

/// 32 characters that cannot be taken for each other on paper (no `0 1 l o`): 5 bits each.
const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// 20 characters of 5 bits: 100 bits.
const CHARACTERS: usize = 20;

/// In groups, because people count to four.
const GROUP: usize = 4;

/// What fits a `PASS` command: RFC 2449 §4 allows 255 octets for the whole line.
const OCTETS_MAX: usize = 248;

/// Makes a password with 100 random bits: `xxxx-xxxx-xxxx-xxxx-xxxx`.
///
/// # Errors
/// The operating system gives no randomness.
pub(crate) fn generate() -> Result<SecretString, Failure> {
    let mut random = [0_u8; CHARACTERS];
    getrandom::fill(&mut random).map_err(|error| {
        Failure::new(ExitCode::Unavailable, "the system gives no randomness")
            .caused_by(error.to_string())
    })?;
    Ok(spell(&random).into())
}

/// Makes a word that nobody else makes, such as the left side of a Message-ID.
///
/// # Errors
/// The operating system gives no randomness.
pub(crate) fn random_word() -> Result<String, Failure> {
    let password = generate()?;
    Ok(password.expose_secret().replace('-', ""))
}

fn spell(random: &[u8; CHARACTERS]) -> String {
    let mut text = String::new();
    for (index, octet) in random.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        // 256 is a multiple of 32: every character is equally likely.
        text.push(char::from(ALPHABET[usize::from(octet % 32)]));
    }
    text
}

/// Asks a person twice, without showing what is typed.
///
/// # Errors
/// There is no terminal, or the two differ, or the password cannot be one.
pub(crate) fn ask(address: &str) -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            ExitCode::Usage,
            "there is no terminal to ask for a password on",
        )
        .hint("`--password-stdin` reads it from a pipe, `--generate` makes one"));
    }
    let prompt = |text: String| {
        rpassword::prompt_password(text)
            .map(SecretString::from)
            .map_err(|error| {
                Failure::new(ExitCode::Io, "cannot read the password").caused_by(error)
            })
    };
    let password = prompt(format!("New password for {address}: "))?;
    let again = prompt("The same again: ".to_owned())?;
    if password.expose_secret() != again.expose_secret() {
        return Err(Failure::new(ExitCode::Data, "the two passwords differ")
            .hint("nothing was changed; try again, or let `--generate` make one"));
    }
    check(password)
}

/// Reads a password from the first line of stdin, without its line end.
///
/// # Errors
/// Stdin cannot be read, or what it holds cannot be a password.
pub(crate) fn from_stdin() -> Result<SecretString, Failure> {
    let mut line = String::new();
    let bound = OCTETS_MAX as u64 + 2;
    io::stdin()
        .lock()
        .take(bound)
        .read_line(&mut line)
        .map_err(|error| Failure::new(ExitCode::Io, "cannot read the password").caused_by(error))?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    check(line.into())
}

/// Refuses what could never be typed into a login.
fn check(password: SecretString) -> Result<SecretString, Failure> {
    let text = password.expose_secret();
    let wrong = if text.is_empty() {
        "the password is empty"
    } else if text.len() > OCTETS_MAX {
        "the password is longer than 248 octets"
    } else if text.chars().any(char::is_control) {
        "the password contains a control character"
    } else {
        return Ok(password);
    };
    Err(Failure::new(ExitCode::Data, wrong).hint("nothing was changed; `--generate` makes one"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_generated_password_has_a_hundred_bits_in_unmistakable_characters() {
        let distinct: HashSet<u8> = ALPHABET.iter().copied().collect();
        assert_eq!(distinct.len(), 32);
        assert!(ALPHABET.iter().all(|octet| !b"01lo".contains(octet)));
        assert_eq!(spell(&[0; 20]), "2222-2222-2222-2222-2222");
        assert_eq!(spell(&[255; 20]), "zzzz-zzzz-zzzz-zzzz-zzzz");
        assert_eq!(
            spell(&std::array::from_fn(|n| n as u8)),
            "2345-6789-abcd-efgh-ijkm"
        );
        let first = generate().unwrap();
        let second = generate().unwrap();
        assert_ne!(first.expose_secret(), second.expose_secret());
    }

    #[test]
    fn impossible_passwords_are_refused() {
        for text in ["", "a\u{0}b", "tab\there", &"x".repeat(249)] {
            assert!(check(text.to_owned().into()).is_err(), "{text:?}");
        }
        for text in ["x", "pässwörd with spaces", &"x".repeat(248)] {
            assert!(check(text.to_owned().into()).is_ok(), "{text:?}");
        }
    }
}

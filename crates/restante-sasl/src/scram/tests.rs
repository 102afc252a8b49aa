//! Known answers for keys and proofs.

use alloc::{format, string::ToString as _, vec};

use super::*;

/// Dovecot's example for the password `pencil`.
const DOVECOT: &str = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,\
                       wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// RFC 7677 §3's salt.
fn parameters() -> ScramParameters {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramParameters::new(salt, 4096).unwrap()
}

#[test]
fn r5802_scram_1_keys_derive_as_dovecot_writes_them() {
    let keys = Keys::derive(ScramHash::Sha256, b"pencil", &parameters());
    assert_eq!(keys.format().expose_secret(), DOVECOT);
    let read = Keys::parse(ScramHash::Sha256, DOVECOT).unwrap();
    assert_eq!(read.format().expose_secret(), DOVECOT);
    assert_eq!(read.parameters(), &parameters());
}

#[test]
fn keys_verify_their_password_and_no_other() {
    let keys = Keys::parse(ScramHash::Sha256, DOVECOT).unwrap();
    assert!(keys.verify_password(b"pencil"));
    for wrong in [&b"Pencil"[..], b"pencil\0", b"penci", b""] {
        assert!(!keys.verify_password(wrong), "{}", wrong.escape_ascii());
    }
}

#[test]
fn r5802_scram_1_fewer_than_4096_iterations_are_never_announced() {
    for (iterations, fits) in [
        (0, false),
        (4095, false),
        (4096, true),
        (10_000_000, true),
        (10_000_001, false),
    ] {
        assert_eq!(
            ScramParameters::new(vec![7; 16], iterations).is_ok(),
            fits,
            "{iterations}"
        );
        let text = DOVECOT.replacen("4096", &iterations.to_string(), 1);
        assert_eq!(
            Keys::parse(ScramHash::Sha256, &text).is_ok(),
            fits,
            "{iterations}"
        );
    }
}

#[test]
fn damaged_keys_are_refused_by_name() {
    let parse = |text: &str| {
        Keys::parse(ScramHash::Sha256, text)
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(parse(""), KeysError::Fields);
    assert_eq!(parse("4096,W22Z,WG5d"), KeysError::Fields);
    assert_eq!(parse(&format!("{DOVECOT},")), KeysError::Fields);
    for count in ["+4096", "04096", "4096 ", "", "99999999999", "-4096"] {
        let text = DOVECOT.replacen("4096", count, 1);
        assert_eq!(
            parse(&text),
            KeysError::Iterations { iterations: 0 },
            "{count}"
        );
    }
    assert_eq!(parse("4096,W22ZaA==,WG5d,wfPL"), KeysError::Key);
    let empty = DOVECOT.replacen("W22ZaJ0SNY7soEsUEjb6gQ==", "", 1);
    assert_eq!(parse(&empty), KeysError::Salt { octets: 0 });
    let salt = format!("{},", base64(&[7; 300]));
    assert_eq!(
        parse(&DOVECOT.replacen("W22ZaJ0SNY7soEsUEjb6gQ==,", &salt, 1)),
        KeysError::Salt { octets: 300 }
    );
    assert_eq!(parse(&DOVECOT.replacen("WG5d", "WG5", 1)), KeysError::Key);
    // SHA-256's keys are not SHA-1's.
    assert_eq!(
        Keys::parse(ScramHash::Sha1, DOVECOT).map(|_| ()),
        Err(KeysError::Key)
    );
}

#[test]
fn salts_are_bounded() {
    for (octets, fits) in [(0, false), (1, true), (256, true), (257, false)] {
        assert_eq!(
            ScramParameters::new(vec![7; octets], 4096).is_ok(),
            fits,
            "{octets}"
        );
    }
}

#[test]
fn a_proof_fits_one_key_of_one_hash() {
    let keys = Keys::derive(ScramHash::Sha256, b"pencil", &parameters());
    let other = Keys::derive(ScramHash::Sha256, b"pencils", &parameters());
    let sha1 = Keys::derive(ScramHash::Sha1, b"pencil", &parameters());
    let message = b"any auth message".to_vec();
    let salted = SaltedPassword::new(ScramHash::Sha256, b"pencil", &parameters());
    let proof = |octets: &[u8]| ScramProof::new(ScramHash::Sha256, message.clone(), octets.into());
    let right = salted.client_proof(&message);
    assert!(proof(&right).matches(keys.stored_key()));
    assert!(!proof(&right).matches(other.stored_key()));
    assert!(!proof(&right).matches(sha1.stored_key()));
    for at in 0..right.len() {
        let mut wrong = right.to_vec();
        wrong[at] ^= 1;
        assert!(!proof(&wrong).matches(keys.stored_key()), "octet {at}");
    }
    for short in [0, 1, 20, 31] {
        assert!(
            !proof(&right[..short]).matches(keys.stored_key()),
            "{short} octets"
        );
    }
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_debug_shows_no_key() {
    let keys = Keys::parse(ScramHash::Sha256, DOVECOT).unwrap();
    let proof = ScramProof::new(ScramHash::Sha256, b"message".to_vec(), vec![0xAB; 32]);
    let text = format!(
        "{keys:?} {:?} {:?} {proof:?} {:?}",
        keys.stored_key(),
        keys.server_key(),
        keys.format()
    );
    assert_eq!(
        text,
        "Keys(Sha256, [REDACTED]) StoredKey(Sha256, [REDACTED]) ServerKey(Sha256, [REDACTED]) \
         ScramProof(Sha256, [REDACTED]) SecretBox<str>([REDACTED])"
    );
}

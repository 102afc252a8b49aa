//! What an authority may send, and what it may not.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use time::Duration;

use super::*;

const DIRECTORY: &str = "https://ca.example/dir";

/// An authority with an intermediate one, and a certificate by it.
struct Made {
    root: String,
    intermediate: String,
    certificate: String,
    key: String,
}

fn names() -> Vec<String> {
    vec![
        "pop.example.test".to_owned(),
        "mail.example.test".to_owned(),
    ]
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn authority() -> CertificateParams {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
}

fn make(names: &[String], not_before: OffsetDateTime, not_after: OffsetDateTime) -> Made {
    let (root_key, intermediate_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority().self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(authority(), root_key);
    let intermediate = authority()
        .signed_by(&intermediate_key, &root_issuer)
        .unwrap();
    let issuer = Issuer::new(authority(), intermediate_key);
    let key = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new(names).unwrap();
    certificate.not_before = not_before;
    certificate.not_after = not_after;
    certificate.use_authority_key_identifier_extension = true;
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    Made {
        root: root.pem(),
        intermediate: intermediate.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn good() -> Made {
    make(&names(), now() - Duration::HOUR, now() + Duration::days(90))
}

fn check(chain: &str, key: &str) -> Result<Issued, UnusableError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Issued::new(chain, key, DIRECTORY, &names(), now(), &provider)
}

#[test]
fn a_good_chain_is_taken_with_and_without_its_root() {
    let made = good();
    let short = made.certificate.clone() + &made.intermediate;
    let issued = check(&short, &made.key).unwrap();
    assert_eq!(issued.life.not_after, now() + Duration::days(90));
    assert!(issued.suits(DIRECTORY, &names()));
    check(&(short + &made.root), &made.key).unwrap();
    // An authority whose root signs itself sends one certificate.
    check(&made.certificate, &made.key).unwrap();
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let (made, other) = (good(), good());
    let chain = made.certificate + &made.intermediate;
    let refused = check(&chain, &other.key);
    assert!(matches!(refused, Err(UnusableError::Identity(_))));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let key = good().key;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for chain in [
        "",
        "<html>sorry</html>",
        "-----BEGIN CERTIFICATE-----\n",
        broken,
    ] {
        let refused = check(chain, &key);
        assert!(
            matches!(refused, Err(UnusableError::Identity(_))),
            "{chain}"
        );
    }
}

#[test]
fn a_certificate_that_lacks_a_name_is_refused() {
    let made = make(
        &names()[..1],
        now() - Duration::HOUR,
        now() + Duration::HOUR,
    );
    let refused = check(&(made.certificate + &made.intermediate), &made.key).unwrap_err();
    assert!(matches!(refused, UnusableError::Name(name) if name == names()[1]));
}

#[test]
fn a_certificate_that_is_not_valid_now_is_refused() {
    for (from, to) in [(-2, -1), (1, 2)] {
        let at = |days| now() + Duration::days(days);
        let made = make(&names(), at(from), at(to));
        let refused = check(&(made.certificate + &made.intermediate), &made.key);
        assert!(matches!(refused, Err(UnusableError::NotNow(..))));
    }
}

#[test]
fn a_chain_that_does_not_hold_together_is_refused() {
    let (made, other) = (good(), good());
    let wrong = made.certificate.clone() + &other.intermediate;
    let refused = check(&wrong, &made.key);
    assert!(matches!(refused, Err(UnusableError::Chain(_))));
    let endless = made.certificate.clone() + &made.intermediate.repeat(CHAIN_MAX);
    let refused = check(&endless, &made.key);
    assert!(matches!(refused, Err(UnusableError::TooLong(_))));
}

#[test]
fn what_is_kept_is_read_again_as_it_was() {
    let made = good();
    let chain = made.certificate + &made.intermediate;
    let issued = check(&chain, &made.key).unwrap();
    let text = Issued::text(&chain, &made.key, DIRECTORY, now());
    let read = Issued::from_text(text.as_bytes()).unwrap();
    assert_eq!(read.life.obtained, issued.life.obtained);
    assert_eq!(read.life.not_after, issued.life.not_after);
    assert_eq!(read.identity.chain(), issued.identity.chain());
    assert!(read.suits(DIRECTORY, &names()));
    assert!(!read.suits("https://other.example/dir", &names()));
    let more = [names(), vec!["new.example.test".to_owned()]].concat();
    assert!(!read.suits(DIRECTORY, &more));
    assert!(read.identifier().is_some());
    // Cut anywhere it is whole, or none at all: never a key without its certificate.
    for end in (0..text.len()).step_by(37) {
        let cut = Issued::from_text(&text.as_bytes()[..end]);
        if let Some(cut) = cut {
            assert_eq!(cut.identity.chain().len(), 1, "{end}");
        }
    }
}

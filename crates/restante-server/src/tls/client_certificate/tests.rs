//! Certificates of clients, good and doubtful.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn addresses(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    let san = |name: &&str| SanType::Rfc822Name((*name).try_into().unwrap());
    params.subject_alt_names = names.iter().map(san).collect();
    params.serial_number = Some(SerialNumber::from(7_u64));
    params
}

fn signed(params: CertificateParams, authority: &Authority) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, authority).unwrap().der().clone()
}

fn verifier(authorities: &ClientAuthorities) -> Arc<dyn ClientCertVerifier> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    authorities.verifier(&provider).unwrap()
}

/// Whom a certificate is for that `authority` has signed and that is shown to who trusts it.
fn names(params: CertificateParams) -> Option<Vec<String>> {
    let authority = authority();
    let authorities = ClientAuthorities::from_pem(authority.pem().as_bytes()).unwrap();
    let certificate = signed(params, &authority);
    CertificateNames::of(&[certificate], &*verifier(&authorities)).map(|names| names.0)
}

// R4422-EXT-1
#[test]
fn r4422_ext_1_a_certificate_is_for_its_mail_addresses() {
    assert_eq!(
        names(addresses(&["tim@a.example"])).unwrap(),
        ["tim@a.example"]
    );
    let both = names(addresses(&[
        "tim@a.example",
        "Tim@b.example",
        "tim@a.example",
    ]));
    assert_eq!(both.unwrap(), ["tim@a.example", "Tim@b.example"]);
    let mut params = addresses(&["tim@a.example"]);
    let dns = SanType::DnsName("a.example".try_into().unwrap());
    params.subject_alt_names.push(dns);
    assert_eq!(names(params).unwrap(), ["tim@a.example"]);
    let mut params = addresses(&["tim@a.example"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert!(names(params).is_some());
}

#[test]
fn r4422_ext_1_a_certificate_that_is_doubtful_is_for_nobody() {
    // No address, whatever the subject says.
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    let subject = &mut params.distinguished_name;
    subject.push(rcgen::DnType::CommonName, "tim@a.example");
    assert_eq!(names(params), None);
    // One that is not plain spoils the rest.
    for odd in [
        "tim",
        "@a.example",
        "tim@",
        "tim@@a.example",
        "tim@a.example\0@b.example",
        "tim @a.example",
        "\"tim\"@a.example",
        "tim@a.example,ana@a.example",
        "<tim@a.example>",
        "",
    ] {
        assert_eq!(names(addresses(&["ana@a.example", odd])), None, "{odd:?}");
    }
    let long = format!("{}@a.example", "x".repeat(311));
    assert_eq!(names(addresses(&[&long])), None);
    // n − 1, n, n + 1.
    for (count, fits) in [(15, true), (16, true), (17, false)] {
        let many: Vec<String> = (0..count).map(|n| format!("t{n}@a.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(names(addresses(&many)).is_some(), fits, "{count}");
    }
    // Names beside names: RFC 5280 §4.2 allows each extension once.
    let mut twice = addresses(&["tim@a.example"]);
    let san = vec![
        0x30, 0x0F, 0x81, 13, b'a', b'n', b'a', b'@', b'a', b'.', b'e', b'x', b'a', b'm', b'p',
        b'l', b'e',
    ];
    let second = CustomExtension::from_oid_content(&[2, 5, 29, 17], san);
    twice.custom_extensions = vec![second];
    assert_eq!(names(twice), None);
}

#[test]
fn r4422_ext_1_a_certificate_that_is_not_verified_is_for_nobody() {
    let authority = authority();
    let authorities = ClientAuthorities::from_pem(authority.pem().as_bytes()).unwrap();
    let verifier = verifier(&authorities);
    let of = |certificate| CertificateNames::of(&[certificate], &*verifier);
    assert!(of(signed(addresses(&["tim@a.example"]), &authority)).is_some());

    let stranger = self::authority();
    assert!(of(signed(addresses(&["tim@a.example"]), &stranger)).is_none());
    let key = KeyPair::generate().unwrap();
    let own = addresses(&["tim@a.example"]).self_signed(&key).unwrap();
    assert!(of(own.der().clone()).is_none());
    let mut expired = addresses(&["tim@a.example"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    assert!(of(signed(expired, &authority)).is_none());
    let mut early = addresses(&["tim@a.example"]);
    early.not_before = date_time_ymd(2200, 1, 1);
    early.not_after = date_time_ymd(2201, 1, 1);
    assert!(of(signed(early, &authority)).is_none());
    // RFC 5280 §4.2.1.12: a server's certificate is not a client's.
    let mut servers = addresses(&["tim@a.example"]);
    servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert!(of(signed(servers, &authority)).is_none());
    assert!(CertificateNames::of(&[], &*verifier).is_none());
}

fn revocations(authority: &Authority, revoked: u64, until: i32) -> String {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(revoked),
        revocation_time: date_time_ymd(2025, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).unwrap().pem().unwrap()
}

#[test]
fn r4422_ext_1_a_certificate_that_is_revoked_is_for_nobody() {
    let authority = authority();
    let certificate = signed(addresses(&["tim@a.example"]), &authority);
    for (lists, good) in [
        (String::new(), true),
        (revocations(&authority, 8, 2200), true),
        (revocations(&authority, 7, 2200), false),
        // Out of date: nobody knows.
        (revocations(&authority, 8, 2026), false),
        // Of somebody else: nobody knows either.
        (revocations(&self::authority(), 8, 2200), false),
    ] {
        let text = authority.pem() + &lists;
        let authorities = ClientAuthorities::from_pem(text.as_bytes()).unwrap();
        let names =
            CertificateNames::of(std::slice::from_ref(&certificate), &*verifier(&authorities));
        assert_eq!(names.is_some(), good, "{lists}");
    }
}

#[test]
fn authorities_that_are_none_are_refused() {
    for bad in [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        assert!(
            ClientAuthorities::from_pem(bad.as_bytes()).is_err(),
            "{bad}"
        );
    }
    let key = KeyPair::generate().unwrap();
    assert!(ClientAuthorities::from_pem(key.serialize_pem().as_bytes()).is_err());
    let missing = ClientAuthorities::from_file(Path::new("/nowhere/ca.pem"));
    assert!(matches!(missing, Err(TlsError::Unreadable { .. })));
}

//! A certificate authority of the test's own and a server certificate signed by it.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The name that clients connect to.
pub(crate) const HOST: &str = "localhost";

/// Makes an authority and writes its certificate into the directory.
pub(crate) fn write_authority(directory: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "Restante's tests");
    let signed = authority.self_signed(&authority_key).unwrap();
    fs::write(directory.join(name), signed.pem()).unwrap();
    Issuer::new(authority, authority_key)
}

/// Writes `authority.pem`, `certificate.pem` and `key.pem` into the directory.
pub(crate) fn write(directory: &Path) {
    write_for(directory, &[HOST, "127.0.0.1"]);
}

/// As `write`, for a server with these names and addresses.
pub(crate) fn write_for(directory: &Path, names: &[&str]) {
    let issuer = write_authority(directory, "authority.pem");
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut server = CertificateParams::new(names).unwrap();
    server.distinguished_name.push(DnType::CommonName, HOST);
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &issuer).unwrap();

    fs::write(directory.join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
}

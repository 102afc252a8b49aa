//! `[tls.acme]`: what it needs, and what it cannot stand beside.

use restante_server::acme::ChallengeKind;

use super::*;

const BEGIN: &str = "[tls.acme]\ndomains = [\"pop.example.com\"]\nterms_of_service_agreed = true\n";

/// Lines after [`BEGIN`], each with exactly what is printed about it.
const BAD: &[(&str, &str)] = &[
    (
        "directory = \"http://ca.example.com/dir\"\n",
        "r.toml:4:13: error: `tls.acme.directory` is `http://ca.example.com/dir`: it is not `https://`\n  hint: write it like this: `\"https://acme-v02.api.letsencrypt.org/directory\"`",
    ),
    (
        "contact = \"postmaster@example.com\"\n",
        "r.toml:4:11: error: `tls.acme.contact` is `postmaster@example.com`, which is not a mail address as an authority wants it\n  hint: write it like this: `\"mailto:postmaster@example.com\"`",
    ),
    (
        "eab_key_id = \"kid-1\"\n",
        "r.toml:4:14: error: `tls.acme.eab_key_id` stands without `tls.acme.eab_hmac_key_file`\n  hint: the authority has given you both, or wants neither",
    ),
    (
        "eab_hmac_key_file = \"hmac\"\n",
        "r.toml:4:21: error: `tls.acme.eab_hmac_key_file` stands without `tls.acme.eab_key_id`\n  hint: the authority has given you both, or wants neither",
    ),
    (
        "challenge = \"dns-01\"\n",
        "r.toml:4:13: error: `tls.acme.challenge` is `\"dns-01\"`\n  hint: write `\"tls-alpn-01\"` or `\"http-01\"`",
    ),
    (
        "challenge = \"http-01\"\nlisten = []\n",
        "r.toml:5:10: error: `tls.acme.listen` is empty\n  hint: the authority must find an answer: remove the line, or name an address",
    ),
    (
        "listen = [\"0.0.0.0:443\"]\n[pop3]\nlisten_tls = [\"0.0.0.0:443\"]\n",
        "r.toml:4:10: error: `tls.acme.listen` and `pop3.listen_tls` both have `0.0.0.0:443`\n  hint: `tls-alpn-01` is answered at `pop3.listen_tls` in any case: write `listen = []`",
    ),
    (
        "challenge = \"http-01\"\nlisten = [\"127.0.0.1:80\"]\n[http]\nlisten = [\"127.0.0.1:80\"]\n",
        "r.toml:5:10: error: `tls.acme.listen` and `http.listen` both have `127.0.0.1:80`\n  hint: each needs a port of its own",
    ),
    (
        "[tls]\ncertificate = \"c\"\nkey = \"k\"\n",
        "r.toml:5:15: error: `tls.certificate` stands beside `[tls.acme]`\n  hint: both are shown by default: remove one of them, or write the certificate and its key below `[[tls.name]]`, for names that `[tls.acme]` does not have",
    ),
];

#[test]
fn what_cannot_work_is_said_with_its_place_and_a_hint() {
    for (lines, expected) in BAD {
        assert_eq!(complaint(&format!("{BEGIN}{lines}")), *expected);
    }
}

#[test]
fn nothing_is_asked_for_without_names_and_agreement() {
    for terms in ["", "terms_of_service_agreed = false\n"] {
        let said = complaint(&format!("[tls.acme]\ndomains = [\"a.example\"]\n{terms}"));
        assert!(
            said.contains("needs your agreement to the terms of service"),
            "{said}"
        );
        assert!(
            said.contains("add `terms_of_service_agreed = true`"),
            "{said}"
        );
    }
    let said = complaint("[tls.acme]\nterms_of_service_agreed = true\n");
    assert!(said.contains("`[tls.acme]` needs `domains`"), "{said}");
    assert!(
        read("[tls]\nstrict_sni = true\n")
            .unwrap()
            .tls
            .acme
            .is_none()
    );
}

#[test]
fn names_are_host_names() {
    let with =
        |names: &str| format!("[tls.acme]\ndomains = [{names}]\nterms_of_service_agreed = true\n");
    let long = format!("\"{}.example\"", "a".repeat(64));
    for (names, said) in [
        ("", "has 0 names"),
        ("\"*.example.com\"", "write each name"),
        ("\"localhost\"", "not a host name"),
        ("\"192.0.2.1\"", "not a host name"),
        ("\"2001:db8::1\"", "not a host name"),
        ("\"-a.example\"", "not a host name"),
        ("\"a..example\"", "not a host name"),
        ("\"a.example.\"", "not a host name"),
        ("\"größe.example\"", "not a host name"),
        (long.as_str(), "not a host name"),
        ("\"a.example\", \"A.Example\"", "twice"),
    ] {
        let complaint = complaint(&with(names));
        assert!(complaint.contains(said), "{names}: {complaint}");
    }
    let many: Vec<String> = (0..101).map(|n| format!("\"n{n}.example\"")).collect();
    assert!(complaint(&with(&many.join(", "))).contains("has 101 names"));
    let good = read(&with("\"Pop.Example.com\", \"xn--gre-6ka8i.example\"")).unwrap();
    let domains = good.tls.acme.unwrap().domains;
    assert_eq!(domains, ["pop.example.com", "xn--gre-6ka8i.example"]);
}

#[test]
fn defaults_are_lets_encrypt_and_the_port_where_it_looks() {
    let acme = |lines: &str| read(&format!("{BEGIN}{lines}")).unwrap().tls.acme.unwrap();
    let plain = acme("");
    let directory = plain.directory.to_string();
    assert_eq!(directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(plain.challenge, ChallengeKind::TlsAlpn01);
    let ports = |acme: &Acme| acme.listen.iter().map(SocketAddr::port).collect::<Vec<_>>();
    assert_eq!(ports(&plain), [443, 443]);
    assert_eq!(ports(&acme("challenge = \"http-01\"\n")), [80, 80]);
    // Answered where POP3 over TLS is.
    assert!(acme("listen = []\n").listen.is_empty());
    let lines = "contact = [\"mailto:a@example.com\", \"mailto:b@example.com\"]\n";
    assert_eq!(acme(lines).contact.len(), 2);
}

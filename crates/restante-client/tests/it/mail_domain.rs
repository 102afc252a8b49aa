//! Certificates for a mail domain: which are believed beside those for the server's name, and that
//! nothing else is believed with them.

use restante_client::{Connection, Doubt, Error, Security, Tls, TlsError};

use crate::{
    certificates::{Authority, Certificate},
    script::Script,
};

const OTHER: &str = "mail.example.net";

/// Whether the certificate is believed; otherwise what is wrong with it.
async fn meet(certificate: &Certificate, tls: Tls, stls: bool) -> Option<Doubt> {
    let script = match stls {
        false => Script::default().tls(&certificate.config).say("+OK"),
        true => Script::default()
            .say("+OK")
            .capabilities(&["STLS"])
            .answer("STLS", "+OK")
            .tls(&certificate.config),
    };
    let scripted = script.capabilities(&["USER"]).serve().await;
    let security = match stls {
        false => Security::Tls(tls),
        true => Security::Stls(tls),
    };
    match Connection::open(&scripted.server(security)).await {
        Ok(_) => None,
        Err(Error::Certificate { doubt, .. }) => Some(doubt),
        Err(error) => panic!("{error}: {error:?}"),
    }
}

// R7817-ID-2
#[tokio::test]
async fn r7817_id_2_an_srv_id_of_pop3_in_the_mail_domain_is_believed_and_no_other() {
    let authority = Authority::new();
    let tls = authority.believer();
    let tls = tls.with_mail_domain("Example.com").expect("a domain");
    for (service, believed) in [
        ("_pop3s.example.com", true),
        ("_pop3.example.com", true),
        ("_POP3S.EXAMPLE.COM", true),
        ("_imaps.example.com", false),
        ("_pop3s.example.net", false),
        ("_pop3s.example.com.", false),
        ("_pop3s.example.com.example.net", false),
        ("_pop3s.pop.example.com", false),
        ("pop._pop3s.example.com", false),
        ("_pop3s._pop3s.example.com", false),
        ("_pop3sexample.com", false),
        ("example.com", false),
        // A star stands for nothing here (R7817-ID-4).
        ("_pop3s.*.com", false),
        ("_pop3s.*", false),
        ("*.example.com", false),
        ("_pop3s.", false),
        ("", false),
    ] {
        let certificate = authority.sign_services(&[OTHER], &[OTHER, service], 2099);
        for stls in [false, true] {
            let doubt = meet(&certificate, tls.clone(), stls).await;
            let expected = (!believed).then_some(Doubt::Name);
            assert_eq!(doubt, expected, "{service}, STLS: {stls}");
        }
    }
}

// R7817-ID-2
#[tokio::test]
async fn r7817_id_2_the_path_and_the_dates_count_with_a_mail_domain_too() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let tls = authority.believer();
    let with = tls.with_mail_domain("example.com").expect("a domain");
    let service = ["_pop3s.example.com"];
    for (names, expired, strangers) in [
        (&[][..], Doubt::Time, Doubt::Issuer),
        (&["localhost"], Doubt::Time, Doubt::Issuer),
        (&["example.com"], Doubt::Time, Doubt::Issuer),
    ] {
        let certificate = authority.sign_services(names, &service, 2020);
        assert_eq!(meet(&certificate, with.clone(), false).await, Some(expired));
        let certificate = stranger.sign_services(names, &service, 2099);
        let doubt = meet(&certificate, with.clone(), false).await;
        assert_eq!(doubt, Some(strangers));
        let certificate = authority.sign_services(names, &service, 2099);
        assert_eq!(meet(&certificate, with.clone(), false).await, None);
    }
    // Whoever names no domain believes in none.
    let certificate = authority.sign_services(&[], &service, 2099);
    assert_eq!(meet(&certificate, tls, false).await, Some(Doubt::Name));
}

// R7817-ID-1
#[tokio::test]
async fn r7817_id_1_the_server_s_name_or_the_mail_domain_as_dns_id() {
    let authority = Authority::new();
    let tls = authority.believer();
    let with = tls.with_mail_domain("example.com").expect("a domain");
    for (name, doubt) in [
        ("localhost", None),
        ("example.com", None),
        (OTHER, Some(Doubt::Name)),
        ("*.example.com", Some(Doubt::Name)),
        ("_pop3s.example.com", Some(Doubt::Name)),
    ] {
        let certificate = authority.sign(&[name]);
        let met = meet(&certificate, with.clone(), false).await;
        assert_eq!(met, doubt, "{name}");
    }
    for name in ["", "exa mple.com", "example..com", "b\u{fc}ro.example"] {
        let refused = tls.with_mail_domain(name);
        assert!(matches!(refused, Err(TlsError::Domain { .. })), "{name}");
    }
}

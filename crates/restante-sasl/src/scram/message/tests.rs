//! The grammar of RFC 5802 §7: what is taken, and above all what is not.

use proptest::prelude::*;

use super::*;

fn first(message: &str) -> Result<ClientFirst<'_>, MessageError> {
    ClientFirst::parse(message.as_bytes())
}

fn last(message: &str) -> Result<ClientFinal<'_>, MessageError> {
    ClientFinal::parse(message.as_bytes())
}

#[test]
fn r5802_scram_2_gs2_header_has_three_forms() {
    let message = first("n,,n=user,r=fyko").unwrap();
    assert_eq!(message.flag, BindingFlag::Unsupported);
    assert_eq!((message.gs2_header, message.bare), ("n,,", "n=user,r=fyko"));
    assert_eq!(message.authorization, None);

    let message = first("y,a=other,n=user,r=fyko").unwrap();
    assert_eq!(message.flag, BindingFlag::NotOffered);
    assert_eq!(
        (message.gs2_header, message.bare),
        ("y,a=other,", "n=user,r=fyko")
    );
    assert_eq!(message.authorization.as_deref(), Some("other"));

    let message = first("p=tls-exporter,,n=user,r=fyko").unwrap();
    assert_eq!(message.flag, BindingFlag::Used("tls-exporter"));

    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        ",,n=user,r=x",
        "N,,n=user,r=x",
        "x,,n=user,r=x",
        "p,,n=user,r=x",
        "p=,,n=user,r=x",
        "p=tls_exporter,,n=user,r=x",
        "n,b=other,n=user,r=x",
        "n,a=,n=user,r=x",
        "n,a,n=user,r=x",
        "F,n,,n=user,r=x",
        "n,n=user,r=x",
        " n,,n=user,r=x",
        "nn,,n=user,r=x",
        "p=tls-exporter,a=a=b,n=user,r=x",
    ] {
        assert!(first(bad).is_err(), "{bad}");
    }
}

#[test]
fn r5802_scram_2_only_two_escapes_exist() {
    assert_eq!(first("n,,n=a=2Cb=3Dc,r=x").unwrap().name, "a,b=c");
    assert_eq!(first("n,,n=a=3D2C,r=x").unwrap().name, "a=2C");
    for bad in [
        "a=2cb",
        "a=3db",
        "a=b",
        "a=",
        "a=2",
        "a==2C",
        "a=00",
        "=",
        "a=3",
        "=C3=A4",
        "a=2\u{E4}",
    ] {
        let message = format_first(bad);
        assert!(first(&message).is_err(), "{bad}");
    }
}

fn format_first(name: &str) -> String {
    alloc::format!("n,,n={name},r=x")
}

#[test]
fn r5802_scram_5_mandatory_extension_fails_anywhere() {
    for message in [
        "n,,m=x,n=user,r=x",
        "n,,n=user,m=x,r=x",
        "n,,n=user,r=x,m=x",
        "n,,n=user,r=x,z=y,m=x",
    ] {
        assert_eq!(
            first(message).unwrap_err(),
            MessageError::MandatoryExtension,
            "{message}"
        );
    }
    for message in [
        "m=x,c=biws,r=x,p=AA==",
        "c=biws,m=x,r=x,p=AA==",
        "c=biws,r=x,m=x,p=AA==",
    ] {
        assert_eq!(
            last(message).unwrap_err(),
            MessageError::MandatoryExtension,
            "{message}"
        );
    }
    for message in ["m=x,r=x,s=AA==,i=4096", "r=x,s=AA==,i=4096,m=x"] {
        let parsed = ServerFirst::parse(message.as_bytes());
        assert_eq!(
            parsed.unwrap_err(),
            MessageError::MandatoryExtension,
            "{message}"
        );
    }
    let parsed = ServerFinal::parse(b"v=AA==,m=x");
    assert_eq!(parsed.unwrap_err(), MessageError::MandatoryExtension);
}

#[test]
fn r5802_scram_5_unknown_optional_attributes_are_ignored() {
    assert_eq!(
        first("n,,n=user,r=x,z=any thing=,Q=y").unwrap().name,
        "user"
    );
    let message = last("c=biws,r=x,z=y,p=AA==").unwrap();
    assert_eq!(
        (message.without_proof, message.proof),
        ("c=biws,r=x,z=y", alloc::vec![0])
    );
    assert_eq!(
        ServerFirst::parse(b"r=x,s=AA==,i=4096,z=y")
            .unwrap()
            .iterations,
        4096
    );
    assert!(ServerFinal::parse(b"v=AA==,z=y").is_ok());
}

#[test]
fn r5802_scram_5_order_is_fixed() {
    for bad in [
        "n,,r=x,n=user",
        "n,,n=user",
        "n,,r=x",
        "n,,z=y,n=user,r=x",
        "n,,n=user,z=y,r=x",
        "n,,n=user,r=x,n=other",
        "n,,n=user,r=x,r=y",
        "n,,n=user,r=x,a=y",
        "n,,n=user,r=x,",
        "n,,n=user,r=x,,z=y",
        "n,,n=user,r=x,z",
        "n,,n=user,r=x,z=",
        "n,,n=user,r=x,1=y",
        "n,,n=user,r=x,zz=y",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=\u{E4}",
        "n,,N=user,r=x",
    ] {
        assert!(first(bad).is_err(), "{bad}");
    }
    for bad in [
        "",
        "p=AA==",
        "c=biws,p=AA==",
        "r=x,c=biws,p=AA==",
        "c=biws,r=x",
        "c=biws,r=x,p=AA==,z=y",
        "c=biws,r=x,p=",
        "c=biws,r=x,p=AA=",
        "c=biws,r=x,p=A",
        "c=bi ws,r=x,p=AA==",
        "c=biws,r=x,p=AA==,p=AA==",
        "c=biws,r=x,v=AA==",
        "c=,r=x,p=AA==",
        "c=biws,z=y,r=x,p=AA==",
    ] {
        assert!(last(bad).is_err(), "{bad}");
    }
    for bad in [
        "",
        "s=AA==,r=x,i=4096",
        "r=x,i=4096,s=AA==",
        "r=x,s=AA==",
        "r=x,s=,i=4096",
        "r=x,s=AA==,i=0",
        "r=x,s=AA==,i=04096",
        "r=x,s=AA==,i=+4096",
        "r=x,s=AA==,i=4096x",
        "r=x,s=AA==,i=4294967296",
        "r=x,s=AA==,i=",
        "e=unknown-user",
    ] {
        assert!(ServerFirst::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["", "v=", "v", "e=", "x=AA==", "v=A", "z=y,v=AA=="] {
        assert!(ServerFinal::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn octets_that_are_no_text_are_refused() {
    for bad in [
        &b"n,,n=us\0er,r=x"[..],
        b"n,,n=\xFF,r=x",
        b"n,,n=user,r=x\0",
        b"\0",
    ] {
        assert!(ClientFirst::parse(bad).is_err(), "{}", bad.escape_ascii());
    }
}

// PRJ-LINE-2: n − 1, n, n + 1.
#[test]
fn prj_line_2_messages_are_bounded() {
    for (octets, fits) in [(8191, true), (8192, true), (8193, false)] {
        let mut message = "n,,n=user,r=".to_owned();
        while message.len() < octets {
            message.push('x');
        }
        assert_eq!(first(&message).is_ok(), fits, "{octets}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn escaping_is_inverted_by_reading(name in "[^\0]{1,20}") {
        let message = format_first(&escape(&name));
        prop_assert_eq!(first(&message).unwrap().name, name);
    }

    #[test]
    fn no_octets_panic(message in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = ClientFirst::parse(&message);
        let _ = ClientFinal::parse(&message);
        let _ = ServerFirst::parse(&message);
        let _ = ServerFinal::parse(&message);
    }

    #[test]
    fn header_and_bare_make_the_message(message in "[ny],(a=[a-z=2CD]{1,4})?,n=[a-z]{1,3},r=[!-+]{1,4}") {
        if let Ok(parsed) = first(&message) {
            prop_assert_eq!(alloc::format!("{}{}", parsed.gs2_header, parsed.bare), message.clone());
        }
    }
}

//! Known answers, made with `doveadm pw`, crypt(3), `openssl passwd` and Python's hashlib; and
//! everything that must not be taken for a password field.

use super::*;

/// Fields for the password `pencil`.
const PENCIL: [&str; 44] = [
    "$y$j9T$abcdefgh$kff4zjKKNjmHWBD6KG8N2k8WunPqZGAsrQj0LdJ5QM9",
    "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$rPeawue/nS.5CE6nTU9GpACAbn46u5ZGm.W6wf1Q.RD",
    "$y$j75$abcdefghijklmnop$IEnf9aYM3asNLMekfKE0cqP4tiSY7D/UPtLH7JVCAM4",
    "$y$jBT$abcdefgh$IzbpTxeBE1WTt.N3qEWcph.728nQ0/rI4WUBECj6sWA",
    "{PLAIN}pencil",
    "{plain}pencil",
    "{CLEAR}pencil",
    "{CLEARTEXT}pencil",
    "{PLAIN.B64}cGVuY2ls",
    "{PLAIN.b64}cGVuY2ls",
    "{PLAIN.HEX}70656e63696c",
    "{CRYPT}$2y$05$H2a1aRjO8oD74n2gP0Oi8eHPPjX5hJbRanxu8BMgSt57FwuPPrQyO",
    "{SHA512-CRYPT}$6$obZIYQXgLBhAD2/Z$eNhQ9u7nYQGYnYYx6qljRcPYdyOfRjBj0JvoHBm6lLvVx9xrYMiklIBHfTi7eLfLvBWKdQhz5d0Lq9.UGbVTj1",
    "{CRYPT}$6$obZIYQXgLBhAD2/Z$eNhQ9u7nYQGYnYYx6qljRcPYdyOfRjBj0JvoHBm6lLvVx9xrYMiklIBHfTi7eLfLvBWKdQhz5d0Lq9.UGbVTj1",
    "$6$obZIYQXgLBhAD2/Z$eNhQ9u7nYQGYnYYx6qljRcPYdyOfRjBj0JvoHBm6lLvVx9xrYMiklIBHfTi7eLfLvBWKdQhz5d0Lq9.UGbVTj1",
    "{SHA512-CRYPT.B64}JDYkS08vSzFUYUh5aXphN0szQSRrQTJzcTljWXBNckxBWkM1ZS83OVRFWXBGTXhsSDRKTlFIZGk3MXl1QTFaZ2NvSjFVb1ZuTHZrbVQ1UzJ2MnphbDBSTUR6blFNaGRzQlU1OExsSVJxLw==",
    "{SHA256-CRYPT}$5$KVxLU9qeFyVRJNDL$lQB8fCeB2kRFaRRGW01SuoaSz32S92kxaEVH0mgyzkC",
    "$6$rounds=1000$saltstring$Dst5SzMCiLiSWQN0EnEgf8DNbHOJRybf7gWFoq4HhaAWnZcpnsBwYgTSajPGyhfsjkr51qmiDafX//8bUiGTO1",
    "$5$rounds=4321$abc$l5xqdCube45FdG6IBSYYe16swG6jAQnISX4oc3JOCj7",
    "$6$0123456789abcdef$xjnvNhTLJT649YtA.s5aRzDKu8pVB5RF1OXqC0XqZ85gw5BOPmk9F9oEx3TAsi/l0vJRDJvD8WwzMhU7a6lGz1",
    "$6$abcdef$QNPZUsuNyhH4rS/yAnbEt.i.GZewo.uOpHuFz5cqvxbB.DAJ63ICnUuPqPw3pxQ.kmb02X53EbydRwqit2CXA1",
    "$5$abcdef$59IyG3l3m6ral2eIwcXuR7hwPakmKepIdXirFcqko71",
    "{BLF-CRYPT}$2y$05$gvyqr716YXLOdHtAAbzkru54T4UO17GWCrxPXPCqA78MvM2u.tC2e",
    "{BLF-CRYPT}$2y$06$hIsJrnULkvYSRCu0MgYji.BN/A0hLYPt4XPNx0YiL7id7AfjKktn6",
    "$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "$2a$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$zuF6LXqgsfhMx7b6gLYTdQ$+QFrCDmxlxo3mo5dxDbQ4aElgdXDK/y1geRzBBvDKrQ",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$UHUHIEejrjLcIyLcVAky2Q$gXpmlFFvwoiel2vHeJXLP/KQy2xm42lwP2/XeykFhLs",
    "{ARGON2}$argon2id$v=19$m=65536,t=3,p=1$UHUHIEejrjLcIyLcVAky2Q$gXpmlFFvwoiel2vHeJXLP/KQy2xm42lwP2/XeykFhLs",
    "{PBKDF2}$1$voBFqBtXoTEAKFiz$5000$d6b8a25173aab6f7ffd503c9c6810e4488ca7193",
    "{PBKDF2}$1$salty$1000$03eb78d7438ca8676dddd1da13d16b6ced036e0f",
    "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
    "{SHA1}0vxRJJChUDZGC1SJQBQ51tpUB/o",
    "{SHA256}E4CWaPtDY4Zwb2fcsFLtWEoEuhaowCoX1m00ww/O2iE=",
    "{SHA256}13809668fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda21",
    "{SHA256.HEX}13809668FB436386706F67DCB052ED584A04BA16A8C02A17D66D34C30FCEDA21",
    "{SHA512}Gd8Bqrgo+NUINrp1cJcTrtInM1344YZDkYXAbJF6Kn03cat24wfPo7a4nvGmaC1mgd3xGISHDl3hPnk/uVXu6w==",
    "{SSHA}DfPiY2rnuvOt3XVEn+aZfAO0e91Lmezw",
    "{SSHA.HEX}0a1b3b0c386a687e4a765cefab77039e2ce9df1cd2ebc801",
    "{SSHA256}iqGmFGKEVz8QsNtbB+eVThj7meDUxiRF9YaO8cjA67A50MzH",
    "{SSHA512}PKPztdtkrLAsb/kDEZy6zbH0Q9jAIgnkKE9VWjpgUagfkdr3aRzLHqj0QoRom6rhelYIHBKk6Q3RzW/F/Czu8ld2dT4=",
    "{SCRAM-SHA-1}4096,umkip+cPpkQb08BeqOT24g==,l7xP+pRspvhse8emlc5ZNbpwi6w=,nrXC8iEwxKZangs/feiGZ63oGPQ=",
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    "{SCRAM-SHA-256.B64}NDA5Nix1QUI2VFhQMnJNM0YwVVBENGs4ZS93PT0sejhydXpuTEFJZG8vNDhzSWQyZisrR3FkR1lSaG5VeTl4UHdQTE9aZ2hKST0sRHhXU1VNT0lFL0lrVWRDOXNDdWFrc3d3enJCT0djRWhWUSsyZDF5c0xNcz0=",
];

fn parse(field: &str) -> Result<Option<Verifier>, SchemeError> {
    Verifier::parse(field.as_bytes())
}

fn verify(field: &str, password: &str) -> bool {
    let verifier = parse(field).unwrap().unwrap();
    verifier.verify(password.as_bytes()).unwrap()
}

#[test]
fn every_scheme_takes_its_password_and_no_other() {
    for field in PENCIL {
        assert!(verify(field, "pencil"), "{field}");
        for wrong in [
            "",
            "Pencil",
            "pencil ",
            "penci",
            "pencil\0",
            "pencil\0x",
            "pencil\0pencil",
        ] {
            assert!(!verify(field, wrong), "{field} took {wrong:?}");
        }
    }
}

#[test]
fn passwords_are_octets_as_typed() {
    let field = "$y$j9T$abcdefgh$IWHRgaHCjXigFbSzo1yRMlRbRy06QHlEGGJjki14ew0";
    assert!(verify(field, "p\u{E4}ssw\u{F6}rd"));
    let field = "$6$saltstring$6PSVl254uv0cWCoUS0qzSX5NenRA/YFCwPzGA9ONu.MmmxqXTWHerEzD8WyuBl3ukfIZZU9uxLD6Bn6p7S3rG.";
    assert!(verify(field, "p\u{E4}ssw\u{F6}rd"));
    assert!(!verify(field, "pa\u{308}ssw\u{F6}rd"));
    let spaces = "{SHA512-CRYPT}$6$wwF5rG8zXyAfG85q$/2EyTYcGLAA4SvphKZUvRChAg0qwgfdwg5a0NYOqQYH9aO009ZANJTj4lDbN/W2ADarhh5lJnWyJFsH9urk2g.";
    assert!(verify(spaces, "correct horse"));
    assert!(verify("{PLAIN}p:en{c}il $x", "p:en{c}il $x"));
}

#[test]
fn bcrypt_takes_72_octets_into_account() {
    let field = "$2y$04$abcdefghijklmnopqrstuuNt.0ah97gHY3F7JC1Z6EXmQc0bQBhIO";
    assert!(verify(field, &"p".repeat(72)));
    assert!(verify(field, &("p".repeat(72) + "other")));
    assert!(!verify(field, &"p".repeat(71)));
}

// PRJ-PASS-5
#[test]
fn prj_pass_5_no_field_matches_an_empty_password() {
    assert!(parse("").unwrap().is_none());
    // SHA-1, SHA-256 and SHA-512 of nothing, and no password in the clear.
    for field in [
        "{PLAIN}",
        "{PLAIN.B64}",
        "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        "{SHA256}47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ] {
        assert!(!verify(field, ""), "{field}");
    }
}

#[test]
fn weak_schemes_are_refused_by_name() {
    for (field, scheme) in [
        ("{DES-CRYPT}22uI/i0y0uC1o", "DES-CRYPT"),
        ("{CRYPT}22uI/i0y0uC1o", "DES-CRYPT"),
        ("abJ32bJMdTsnY", "DES-CRYPT"),
        ("{MD5}$1$CbCyKbPG$K5WRyUAMsOn7jw6F.tyBA1", "MD5-CRYPT"),
        ("{MD5-CRYPT}$1$CbCyKbPG$K5WRyUAMsOn7jw6F.tyBA1", "MD5-CRYPT"),
        ("{CRYPT}$1$CbCyKbPG$K5WRyUAMsOn7jw6F.tyBA1", "MD5-CRYPT"),
        ("$1$CbCyKbPG$K5WRyUAMsOn7jw6F.tyBA1", "MD5-CRYPT"),
        ("{SMD5}V9Pkk8CsCiPTj6ijPk5q1nQRTu4=", "SMD5"),
        ("{LDAP-MD5}x", "LDAP-MD5"),
        ("{PLAIN-MD5}x", "PLAIN-MD5"),
        ("{plain-md4.hex}x", "PLAIN-MD4"),
        ("{DIGEST-MD5}x", "DIGEST-MD5"),
        ("{CRAM-MD5}7f47", "CRAM-MD5"),
        ("{HMAC-MD5}7f47", "CRAM-MD5"),
        ("22uI/i0y0uC1o[13]", "DES-CRYPT"),
        ("0123456789abcdef0123456789abcdef[34]", "PLAIN-MD5"),
        ("0123456789abcdef0123456789abcdef[56]", "DIGEST-MD5"),
    ] {
        assert_eq!(
            parse(field).unwrap_err(),
            SchemeError::Weak { scheme },
            "{field}"
        );
    }
}

#[test]
fn libpam_pwdfile_fields_are_crypt_strings_otherwise() {
    let crypt = "$5$abcdef$59IyG3l3m6ral2eIwcXuR7hwPakmKepIdXirFcqko71";
    // What begins with `$` has no such ending.
    assert!(parse(&format!("{crypt}[13]")).is_err());
    assert!(parse("pencil[99]").is_err());
}

#[test]
fn schemes_that_cannot_be_verified_are_refused_by_name() {
    for (field, scheme) in [
        ("{CRYPT}$7$CU..../....abc$x", "scrypt"),
        ("$gy$j9T$abc$x", "gost-yescrypt"),
        ("{OTP}x", "OTP"),
        ("{PLAIN-TRUNC}6-pencil", "PLAIN-TRUNC"),
    ] {
        assert_eq!(
            parse(field).unwrap_err(),
            SchemeError::Unsupported { scheme },
            "{field}"
        );
    }
    for (field, shown) in [
        ("{NOPE}x", "NOPE"),
        ("{}x", ""),
        ("{SHA256.b32}x", "B32"),
        ("{SHA256.}x", ""),
        ("{PLAIN.b64.hex}x", "B64.HEX"),
        // What may be a password in braces is not repeated.
        ("{my secret}x", ""),
        ("{my secret", ""),
        ("{abcdefghijklmnopqrstuvwxyz0123456}x", ""),
    ] {
        let scheme = shown.to_owned();
        assert_eq!(
            parse(field).unwrap_err(),
            SchemeError::Unknown { scheme },
            "{field}"
        );
    }
    assert!(matches!(
        Verifier::parse(b"{\xFF}x"),
        Err(SchemeError::Unknown { .. })
    ));
}

#[test]
fn malformed_data_are_refused_and_not_just_wrong() {
    for field in [
        "pencil",
        "$",
        "$6$",
        "$6$salt",
        "$6$salt$",
        "$6$$x",
        "$6$salt$short",
        "$5$rounds=x$salt$y",
        "{SHA512-CRYPT}pencil",
        "{SHA256-CRYPT}$6$abcdef$QNPZ",
        "{SHA512-CRYPT}$5$abcdef$59Iy",
        "$2y$05$gvyqr716YXLOdHtAAbzkru54T4UO17GWCrxPXPCqA78MvM2u.tC2",
        "$2y$5$x",
        "$2$05$x",
        "$y$",
        "$y$j9T",
        "$y$j9T$abcdefgh",
        "$y$j9T$$kff4zjKKNjmHWBD6KG8N2k8WunPqZGAsrQj0LdJ5QM9",
        "$y$j9T$abcdefgh$kff4zjKKNjmHWBD6KG8N2k8WunPqZGAsrQj0LdJ5QM",
        "$y$j9T$abcdefgh$kff4zjKKNjmHWBD6KG8N2k8WunPqZGAsrQj0LdJ5QM9$x",
        "$y$$abcdefgh$kff4zjKKNjmHWBD6KG8N2k8WunPqZGAsrQj0LdJ5QM9",
        "$2x$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
        "$2b$+4$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
        "{ARGON2ID}pencil",
        "{ARGON2ID}$argon2d$v=19$m=65536,t=3,p=1$UHUHIEejrjLcIyLcVAky2Q$gXpm",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1",
        "{ARGON2ID}$argon2id$m=65536,t=3,p=1$a$b",
        "{ARGON2ID}$argon2id$v=19$m=0,t=3,p=1$UHUHIEejrjLcIyLcVAky2Q$gXpmlFFvwoiel2vHeJXLP/KQy2xm42lwP2/XeykFhLs",
        "{PBKDF2}$1$salt$1000",
        "{PBKDF2}$2$salty$1000$03eb78d7438ca8676dddd1da13d16b6ced036e0f",
        "{PBKDF2}$1$salty$+100$03eb78d7438ca8676dddd1da13d16b6ced036e0f",
        "{PBKDF2}$1$salty$1000$03eb78d7438ca8676dddd1da13d16b6ced036e",
        "{PBKDF2}$1$salty$1000$03eb78d7438ca8676dddd1da13d16b6ced036e0f$x",
        "{SHA}x",
        "{SHA}",
        "{SHA.HEX}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
        "{SHA256}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
        "{SHA.HEX}d2fc5124",
        "{SSHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
        "{SSHA}",
        "{SHA256.HEX}g",
        "{SCRAM-SHA-256}pencil",
        "{SCRAM-SHA-256}4096,W22Z,WG5d,wfPL",
        "{PLAIN.B64}?",
        "{PLAIN.HEX}7",
        "{SCRAM-SHA-1}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ] {
        let error = parse(field).unwrap_err();
        assert!(
            matches!(error, SchemeError::Malformed { .. }),
            "{field}: {error}"
        );
        assert!(!error.to_string().contains("pencil") && !error.remedy().is_empty());
    }
}

/// A stored hash that would keep a processor busy for minutes is refused before any work, at the
/// bound plus one; the bound itself is taken.
#[test]
fn hostile_hashes_are_refused_before_they_cost_anything() {
    let sha = |rounds: &str| {
        format!("$5$rounds={rounds}$abc$l5xqdCube45FdG6IBSYYe16swG6jAQnISX4oc3JOCj7")
    };
    let bcrypt =
        |cost: &str| format!("$2y${cost}$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2");
    let argon = |parameters: &str| {
        format!(
            "{{ARGON2}}$argon2id$v=19${parameters}$UHUHIEejrjLcIyLcVAky2Q$gXpmlFFvwoiel2vHeJXLP/KQy2xm42lwP2/XeykFhLs"
        )
    };
    let yescrypt = |parameters: &str| {
        format!("$y${parameters}$abcdefgh$kff4zjKKNjmHWBD6KG8N2k8WunPqZGAsrQj0LdJ5QM9")
    };
    let pbkdf2 = |rounds: &str| {
        format!("{{PBKDF2}}$1$salty${rounds}$03eb78d7438ca8676dddd1da13d16b6ced036e0f")
    };
    for taken in [
        sha("1000"),
        sha("5000000"),
        bcrypt("04"),
        bcrypt("16"),
        pbkdf2("1"),
        pbkdf2("10000000"),
        yescrypt("jFT"),
        argon("m=1048576,t=8,p=1"),
        argon("m=1048576,t=5,p=64"),
        argon("m=8,t=64,p=1"),
    ] {
        assert!(parse(&taken).is_ok(), "{taken}");
    }
    for refused in [
        sha("999"), sha("5000001"), sha("999999999"), bcrypt("17"), bcrypt("31"), bcrypt("03"),
        pbkdf2("0"), pbkdf2("10000001"), pbkdf2("4294967295"), argon("m=1048577,t=1,p=1"),
        argon("m=8,t=65,p=1"), argon("m=1048576,t=9,p=1"), argon("m=1024,t=1,p=65"),
        argon("m=4294967295,t=4294967295,p=1"),
        "{SCRAM-SHA-256}10000001,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=".into(),
    ] {
        let error = parse(&refused).unwrap_err();
        assert!(matches!(error, SchemeError::TooCostly { .. }), "{refused}: {error}");
    }
    for (octets, fits) in [(4096, true), (4097, false)] {
        let long = "{PLAIN}".to_owned() + &"x".repeat(octets - 7);
        assert_eq!(parse(&long).is_ok(), fits, "{octets}");
    }
}

#[test]
fn only_fast_schemes_run_where_they_are_asked() {
    for field in PENCIL {
        let fast = [
            "{PLAIN", "{plain", "{CLEAR", "{SHA}", "{SHA1}", "{SHA2", "{SHA512}", "{SSHA",
        ];
        let fast = fast.iter().any(|start| field.starts_with(start)) && !field.contains("CRYPT");
        assert_eq!(parse(field).unwrap().unwrap().is_slow(), !fast, "{field}");
    }
}

#[test]
fn passwords_of_nobody_are_as_slow_as_ours_and_right_for_nobody() {
    let dummy = dummy_verifier();
    let Kind::Argon(stored) = &dummy.0 else {
        panic!("not Argon2")
    };
    let ours = hash_password(b"pencil", [7; 16]).unwrap();
    let parameters = |text: &str| text.split('$').take(4).collect::<Vec<_>>().join("$");
    assert_eq!(
        parameters(stored.text().expose_secret()),
        parameters(ours.expose_secret())
    );
    let field = format!("{{ARGON2ID}}{}", stored.text().expose_secret());
    assert!(!verify(&field, "pencil"));
    assert!(!dummy.verify(b"nobody's password").unwrap());
    assert!(verify(
        &format!("{{ARGON2ID}}{}", ours.expose_secret()),
        "pencil"
    ));
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_debug_of_a_verifier_shows_its_scheme_only() {
    for field in PENCIL {
        let text = format!("{:?}", parse(field).unwrap().unwrap());
        assert!(text.ends_with(", [REDACTED])") && text.len() < 40, "{text}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        // PRJ-SEC-1
        #[test]
        fn prj_sec_1_no_field_panics(field in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Verifier::parse(&field);
        }

        #[test]
        fn prj_sec_1_no_damaged_field_panics_or_takes_the_password(
            index in 0..PENCIL.len(), at in any::<prop::sample::Index>(), with in any::<u8>(),
        ) {
            let mut field = PENCIL[index].as_bytes().to_vec();
            let at = at.index(field.len());
            prop_assume!(!field[at].eq_ignore_ascii_case(&with));
            field[at] = with;
            // Slow ones are parsed only.
            if let Ok(Some(verifier)) = Verifier::parse(&field)
                && !verifier.is_slow()
            {
                prop_assert!(!verifier.verify(b"pencil").unwrap());
            }
        }

        #[test]
        fn plain_and_salted_fields_verify_what_they_were_made_of(password in "[^\\x00-\\x1F]{1,20}") {
            let clear = format!("{{PLAIN}}{password}");
            prop_assert!(verify(&clear, &password));
            let encoded = format!("{{PLAIN.B64}}{}", BASE64.encode(&password));
            prop_assert!(verify(&encoded, &password));
            let other = format!("{password}x");
            prop_assert!(!verify(&encoded, &other));
        }
    }
}

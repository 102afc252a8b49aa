//! Templates of Dovecot's documentation and of its default configurations.

use super::*;

fn expanded(template: &str) -> String {
    let format: UidlFormat = template.parse().unwrap();
    let id = format.expand(&Variables {
        uid: 25006,
        uid_validity: 1_275_660_208,
        file_name: b"1276533073.M242911P3632.kurkku,S=1",
        guid: b"guid-of-it",
    });
    String::from_utf8(id).unwrap()
}

#[test]
fn the_default_is_dovecots() {
    assert_eq!(UidlFormat::default(), "%08Xu%08Xv".parse().unwrap());
    assert_eq!(expanded("%08Xu%08Xv"), "000061ae4c0907b0");
    let newer = "%{uid | hex(8)}%{uidvalidity | hex(8)}";
    assert_eq!(expanded(newer), "000061ae4c0907b0");
}

#[test]
fn templates_that_imitate_other_servers() {
    for (template, expected) in [
        ("%v.%u", "1275660208.25006"),
        ("%v-%u", "1275660208-25006"),
        ("UID%u-%v", "UID25006-1275660208"),
        ("%u", "25006"),
        ("%08Xv%08Xu", "4c0907b0000061ae"),
        ("%f", "1276533073.M242911P3632.kurkku,S=1"),
        ("%{filename}", "1276533073.M242911P3632.kurkku,S=1"),
        ("%g", "guid-of-it"),
        ("%Ug", "GUID-OF-IT"),
        ("%{ guid | upper }", "GUID-OF-IT"),
        ("%{guid|reverse}", "ti-fo-diug"),
        ("%4g", "guid"),
        ("%08u", "00025006"),
        ("%3u", "250"),
        ("%03u", "25006"),
        ("%{uid | hex}", "61ae"),
        ("%{uid|hex(2)}", "ae"),
        ("%%%u%%", "%25006%"),
        ("a%ub", "a25006b"),
        // printf %s 1276533073.M242911P3632.kurkku,S=1 | md5sum
        ("%Mf", "3d3e4f428e19c10e613884f4442e75d9"),
        (
            "%{filename | md5 | hexlify}",
            "3d3e4f428e19c10e613884f4442e75d9",
        ),
    ] {
        assert_eq!(expanded(template), expected, "{template}");
    }
}

#[test]
fn what_dovecot_would_not_do_is_refused() {
    for (template, expected) in [
        ("", UidlFormatError::Constant),
        ("constant", UidlFormatError::Constant),
        ("%v", UidlFormatError::Constant),
        ("%u%", UidlFormatError::NoVariable { at: 2 }),
        ("%", UidlFormatError::NoVariable { at: 0 }),
        ("%08", UidlFormatError::NoVariable { at: 0 }),
        ("%08X", UidlFormatError::NoVariable { at: 0 }),
        ("%{uid", UidlFormatError::NoVariable { at: 0 }),
        ("%x", UidlFormatError::Variable("x".to_owned())),
        ("%{user}", UidlFormatError::Variable("user".to_owned())),
        ("%m", UidlFormatError::HeaderDigest),
        ("%{md5}", UidlFormatError::HeaderDigest),
        ("%Hf", UidlFormatError::Filter("H".to_owned())),
        ("%2.3u", UidlFormatError::Filter(".".to_owned())),
        ("%é", UidlFormatError::Filter("é".to_owned())),
        ("%{uid | sha1}", UidlFormatError::Filter("sha1".to_owned())),
        (
            "%{uid | hex(x)}",
            UidlFormatError::Filter("hex(x)".to_owned()),
        ),
        ("%065u", UidlFormatError::Width(65)),
        ("%{uid|hex(99)}", UidlFormatError::Width(99)),
    ] {
        assert_eq!(template.parse::<UidlFormat>(), Err(expected), "{template}");
    }
    assert!("%99999999999999999999u".parse::<UidlFormat>().is_err());
}

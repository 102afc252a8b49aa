//! Whose deletions count, and how long mail stays.

use std::time::Duration;

use restante_maildrop::{DeleteMode, Keep};

use super::*;

#[test]
fn how_long_mail_stays_is_read_and_what_says_nothing_is_refused() {
    let day = Duration::from_secs(24 * 60 * 60);
    let text = r#"
        [mail]
        delete = "per-device"
        keep = "2w"
        expire_unfetched = "90d"
        device_inactive_after = "30d"
    "#;
    let expected = Policy {
        delete: DeleteMode::PerDevice,
        keep: Keep::For(14 * day),
        expire_unfetched: Some(90 * day),
        device_inactive_after: 30 * day,
    };
    assert_eq!(read(text).unwrap().mail.policy, expected);
    assert_eq!(read("").unwrap().mail.policy, Policy::default());
    for (wrong, said) in [
        (
            "[mail]\nkeep = \"sometimes\"",
            "2:8: error: `mail.keep` is `sometimes`",
        ),
        (
            "[mail]\ndelete = \"all\"",
            "2:10: error: `mail.delete` is `all`",
        ),
        ("[mail]\nkeep = 30", "2:8: error: `mail.keep`"),
        (
            "[mail]\nexpire_unfetched = \"soon\"",
            "2:20: error: `mail.expire_unfetched` is `soon`",
        ),
    ] {
        let problems = read(wrong).unwrap_err().to_string();
        assert!(problems.contains(said), "{problems}");
    }
}

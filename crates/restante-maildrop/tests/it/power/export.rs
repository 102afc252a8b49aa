//! The power fails while unique-ids are written into another server's list.

use restante_maildrop::foreign::{DovecotUidls, Earlier, Origin};

use super::*;

/// A mailbox of which the other server knows the first message.
async fn begin(origin: &Origin) -> tempfile::TempDir {
    let place = faults::begin_without_ids();
    let list = match origin {
        Origin::Dovecot(_) => "3 V16 N9\n1 :1.M1P1.a\n",
        _ => "/3 9 16\n1.M1P1.a:2, 4 1:16:0\n",
    };
    fs::write(place.path().join("me").join(origin.file_name()), list).unwrap();
    // Each has its unique-id here.
    assert_eq!(listing(&healthy(place.path())).await.len(), MESSAGES.len());
    place
}

#[tokio::test]
async fn what_was_exported_survives_a_power_failure_and_a_list_is_old_or_new() {
    for origin in [Origin::Dovecot(DovecotUidls::default()), Origin::Courier] {
        let file = origin.file_name();
        // What a rename has replaced is gone when it is undone here. On a disk it is the old one.
        let read = |place: &Path| fs::read_to_string(place.join("me").join(file)).ok();
        let me = mailbox("me");
        let whole = begin(&origin).await;
        let (old, ids) = (read(whole.path()), listing(&healthy(whole.path())).await);
        let export = |place: &Path, store: restante_maildrop::Maildir| {
            assert!(place.exists());
            store.export(&me, &origin, Earlier::Kept)
        };
        let exported = export(whole.path(), healthy(whole.path()))
            .unwrap()
            .unwrap();
        assert!(exported.unwritten >= 3, "{exported:?}");
        let new = read(whole.path());
        fail_power_at_each_call(
            async || begin(&origin).await,
            async |place, faults| export(place, faulty(place, faults)).is_ok(),
            async |place, acknowledged, what| {
                let now = read(place);
                let is_old = now.is_none() || now == old;
                assert!(now == new || (is_old && !acknowledged), "{what}: {now:?}");
                if now == new {
                    // No name of it is one that was lost.
                    let plan = healthy(place).plan_export(&me, &origin, Earlier::Kept);
                    assert_eq!(plan.unwrap().unwrap().unwritten, 0, "{what}");
                }
                let found = listing(&healthy(place)).await;
                let texts = |listed: &[(Vec<u8>, String)]| {
                    let mut texts: Vec<_> = listed.iter().map(|(_, text)| text.clone()).collect();
                    texts.sort();
                    texts
                };
                assert_eq!(texts(&found), texts(&ids), "{what}");
            },
        )
        .await;
    }
}

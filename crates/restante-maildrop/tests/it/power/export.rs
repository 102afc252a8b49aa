//! The power fails while unique-ids are written into another server's list.

use restante_maildrop::{
    Export, ExportError, Maildir,
    foreign::{DovecotUidls, Earlier, Origin},
};

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

fn export(store: &Maildir, origin: &Origin) -> Result<Option<Export>, ExportError> {
    store.export(&mailbox("me"), origin, Earlier::Kept)
}

/// The list. What a rename has replaced is gone when it is undone here; on a disk it would be the
/// old one.
fn list(place: &Path, origin: &Origin) -> Option<String> {
    fs::read_to_string(place.join("me").join(origin.file_name())).ok()
}

/// Whether no name of the list is one that was lost.
fn is_true(place: &Path, origin: &Origin) -> bool {
    let plan = healthy(place).plan_export(&mailbox("me"), origin, Earlier::Kept);
    plan.unwrap().unwrap().unwritten == 0
}

async fn texts(place: &Path) -> Vec<String> {
    let listed = listing(&healthy(place)).await.into_iter();
    let mut texts: Vec<String> = listed.map(|(_, text)| text).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn what_was_exported_survives_a_power_failure_and_a_list_is_old_or_new() {
    for origin in [Origin::Dovecot(DovecotUidls::default()), Origin::Courier] {
        let whole = begin(&origin).await;
        let (old, mail) = (list(whole.path(), &origin), texts(whole.path()).await);
        let before = lengths(whole.path());
        let faults = Arc::new(Faults::input_output(Fault::Never));
        let exported = export(&faulty(whole.path(), &faults), &origin);
        let exported = exported.unwrap().unwrap();
        assert!(exported.unwritten >= 3, "{exported:?}");
        let new = list(whole.path(), &origin);
        Pending::after(&faults.trace(), &before).lose_all(&before);
        assert_eq!(list(whole.path(), &origin), new);
        assert!(is_true(whole.path(), &origin));
        fail_power_at_each_call(
            async || begin(&origin).await,
            async |place, faults| export(&faulty(place, faults), &origin).is_ok(),
            async |place, acknowledged, what| {
                let now = list(place, &origin);
                let is_old = now.is_none() || now == old;
                assert!(now == new || (is_old && !acknowledged), "{what}: {now:?}");
                assert!(now != new || is_true(place, &origin), "{what}");
                assert_eq!(texts(place).await, mail, "{what}");
            },
        )
        .await;
    }
}

//! Messages whose files have several names, or share one with files that are not listed.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use restante_maildrop::Maildrop;
use restante_proto::Messages;

use super::place;
use crate::session::{number, open, quit, retrieve, unique_ids};

fn ids(session: &impl Maildrop) -> Vec<String> {
    let ids = unique_ids(session).into_iter();
    ids.map(|id| String::from_utf8(id).unwrap()).collect()
}

/// R1939-QUIT-2: a name that stayed would list the message again.
#[tokio::test]
async fn r1939_quit_2_all_names_of_a_deleted_message_go() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("cur/2.b:2,", "c: d\n");
    for name in ["cur/1.a:2,S", "cur/1.a,S=5:2,", "cur/3.c:2,"] {
        fs::hard_link(place.path("new/1.a"), place.path(name)).unwrap();
    }
    let session = open(&place.store, "me").await;
    assert_eq!(ids(&session), ["1.a", "2.b", "3.c"]);
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"a: b\r\n");
    let updated = quit(session, &[1]).await.unwrap();
    assert_eq!(updated.removed, 1);
    for store in [place.store.clone(), place.restarted()] {
        // A copy that another program made under a name of its own is a message of its own.
        assert_eq!(ids(&open(&store, "me").await), ["2.b", "3.c"]);
    }
    assert_eq!(fs::read_dir(place.path("new")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(place.path("cur")).unwrap().count(), 2);
}

/// R1939-QUIT-4: no other message is touched, whether the session has seen it or not.
#[tokio::test]
async fn r1939_quit_4_a_file_that_was_left_out_does_not_go_for_one_of_its_name() {
    let place = place();
    place.faults.obey_modes();
    place.put("cur/1.a:2,", "a: b\n");
    place.put("new/1.a", "somebody: else\n");
    fs::set_permissions(place.path("new/1.a"), Permissions::from_mode(0o000)).unwrap();
    let session = open(&place.store, "me").await;
    assert_eq!(session.messages().count(), 1);
    fs::remove_file(place.path("cur/1.a:2,")).unwrap();
    let _ = quit(session, &[1]).await.unwrap();
    assert!(place.path("new/1.a").exists());
}

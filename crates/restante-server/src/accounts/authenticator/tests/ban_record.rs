//! Bans that outlive a process.

use std::time::SystemTime;

use super::{
    defence::{HOME, STRANGER, guess, login, turned_away, world},
    *,
};
use crate::accounts::{BAN_RECORD_OCTETS_MAX, BanRecordError};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 1_764_108_603 * Duration::from_secs(1)
}

/// A world in which `STRANGER` and the name `tim` are banned, and tim is known at `HOME`.
async fn with_bans() -> World {
    let world = world();
    assert!(login(&world, HOME, "tim", "pencil").await.is_for("tim"));
    guess(&world, STRANGER).await;
    for last in 10..=20 {
        let _ = login(&world, [203, 0, 113, last], "tim", &format!("guess{last}")).await;
    }
    assert_eq!(world.authenticator.bans().len(), 2);
    world
}

fn record(world: &World) -> Vec<u8> {
    world.authenticator.ban_record(now()).unwrap()
}

fn restore(record: &[u8], at: SystemTime) -> (World, Result<usize, BanRecordError>) {
    let world = world();
    let restored = world.authenticator.restore_bans(record, at);
    (world, restored)
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_bans_are_the_same_after_a_restart_and_spare_the_same() {
    let before = with_bans().await;
    let (after, restored) = restore(&record(&before), now());
    assert_eq!(restored.unwrap(), 2);
    let seconds = |world: &World| {
        let bans = world.authenticator.bans();
        let shown = bans.into_iter();
        shown
            .map(|ban| (ban.culprit, ban.left.as_secs_f64().ceil() as u64))
            .collect::<Vec<_>>()
    };
    assert_eq!(seconds(&after), seconds(&before));
    assert!(after.authenticator.turns_away(STRANGER.into()));
    assert!(turned_away(
        &login(&after, [203, 0, 113, 9], "tim", "pencil").await
    ));
    // The restart took nothing from whom the ban of the name spares.
    assert!(login(&after, HOME, "tim", "pencil").await.is_for("tim"));
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_repeated_ban_is_longer_across_a_restart_too() {
    let before = with_bans().await;
    let (after, _) = restore(&record(&before), now());
    tokio::time::advance(HOUR).await;
    guess(&after, STRANGER).await;
    let longest = after.authenticator.bans().first().cloned().unwrap();
    assert!(longest.left > BanSettings::default().time, "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_time_goes_by_while_no_server_runs() {
    let record = record(&with_bans().await);
    let time = BanSettings::default().time;
    let (some, restored) = restore(&record, now() + time / 2);
    assert_eq!(restored.unwrap(), 2);
    assert!(some.authenticator.bans()[0].left <= time / 2);
    let (none, restored) = restore(&record, now() + time);
    assert_eq!(restored.unwrap(), 0);
    assert_eq!(none.authenticator.bans(), []);
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_clock_that_jumps_makes_no_ban_longer() {
    let record = record(&with_bans().await);
    let time = BanSettings::default().time;
    for at in [SystemTime::UNIX_EPOCH, now() - 1000 * HOUR, now()] {
        let (world, _) = restore(&record, at);
        assert!(
            world
                .authenticator
                .bans()
                .iter()
                .all(|ban| ban.left <= time)
        );
    }
    let (world, _) = restore(&record, now() + 1_000_000 * HOUR);
    assert_eq!(world.authenticator.bans(), []);
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_nobody_is_banned_for_longer_than_settings_allow_or_though_they_spare_them() {
    let years = br#"{"version":1,"written":0,"bans":[
        {"address":"192.0.2.1","seconds":18446744073709551615,"times":4294967295},
        {"name":"tim","seconds":18446744073709551615},
        {"address":"127.0.0.1","seconds":60}],"known":[]}"#;
    let (world, restored) = restore(years, SystemTime::UNIX_EPOCH);
    assert_eq!(restored.unwrap(), 2);
    let bans = world.authenticator.bans();
    let time = BanSettings::default().time;
    assert!(
        bans[0].left <= time * 24 && bans[1].left <= time,
        "{bans:?}"
    );
    // And a ban that follows is not longer either.
    tokio::time::advance(time * 24).await;
    guess(&world, [192, 0, 2, 1]).await;
    assert!(world.authenticator.bans()[0].left <= time * 24);
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_damaged_record_bans_nobody() {
    let whole = record(&with_bans().await);
    for octets in 0..whole.len() {
        let (world, restored) = restore(&whole[..octets], now());
        assert!(restored.is_err(), "{octets}");
        assert_eq!(world.authenticator.bans(), [], "{octets}");
    }
    let entry = |what: &str| format!(r#"{{"version":1,"written":1,"bans":[{what}],"known":[]}}"#);
    let many = vec![r#"{"name":"a","seconds":9}"#; 10_001].join(",");
    let long = format!(r#"{{"name":"{}","seconds":9}}"#, "x".repeat(513));
    for damaged in [
        "null",
        r#"{"version":2,"written":1,"bans":[{"name":"tim","seconds":9}],"known":[]}"#,
        &entry(r#"{"seconds":9}"#),
        &entry(r#"{"name":"","seconds":9}"#),
        &entry(r#"{"name":"tim","address":"192.0.2.1","seconds":9}"#),
        &entry(r#"{"name":"tim","seconds":-9}"#),
        &entry(r#"{"name":"tim","seconds":9,"forever":true}"#),
        &entry(r#"{"address":"192.0.2.1/24","seconds":9}"#),
        &entry(&format!(r#"{{"name":"tim","seconds":9}},{long}"#)),
        &entry(&many),
        &" ".repeat(BAN_RECORD_OCTETS_MAX + 1),
    ] {
        let (world, restored) = restore(damaged.as_bytes(), now());
        assert!(restored.is_err(), "{damaged}");
        assert_eq!(world.authenticator.bans(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_there_while_somebody_is_banned_and_changes_with_it() {
    let world = world();
    assert_eq!(world.authenticator.ban_record(now()), None);
    let before = world.authenticator.ban_changes();
    guess(&world, STRANGER).await;
    let banned = world.authenticator.ban_changes();
    assert_ne!(banned, before);
    assert!(world.authenticator.ban_record(now()).is_some());
    world
        .authenticator
        .release(&Culprit::Address(STRANGER.into()));
    assert_ne!(world.authenticator.ban_changes(), banned);
    assert_eq!(world.authenticator.ban_record(now()), None);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// A record as it is written.
    const RECORD: &str = r#"{"version":1,"written":1764108603,"bans":[{"address":"192.0.2.1","seconds":540,"times":1},{"address":"2001:db8::","seconds":9},{"name":"tim","seconds":300}],"known":[{"name":"tim","address":"198.51.100.7"}]}"#;

    proptest! {
        // PRJ-SEC-1, PRJ-SEC-3
        #[test]
        fn prj_sec_3_no_damaged_record_panics_or_bans_for_longer(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            seconds in any::<u64>(),
        ) {
            let mut record = RECORD.replacen("540", &seconds.to_string(), 1).into_bytes();
            for (at, with) in changes {
                let at = at.index(record.len());
                record[at] = with;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (bans, restored) = runtime.block_on(async {
                let world = world();
                let restored = world.authenticator.restore_bans(&record, now());
                (world.authenticator.bans(), restored)
            });
            let longest = BanSettings::default().time * 24;
            prop_assert!(bans.iter().all(|ban| ban.left <= longest), "{:?}", bans);
            prop_assert!(bans.len() <= restored.unwrap_or(0), "{:?}", bans);
        }
    }
}

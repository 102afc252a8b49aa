//! Bans, and a queue that is full: who is turned away, and what it tells them.

use super::*;
use crate::accounts::authenticator::hashing::Turn;

pub(super) const STRANGER: [u8; 4] = [198, 51, 100, 1];
pub(super) const HOME: [u8; 4] = [198, 51, 100, 2];

pub(super) fn world() -> World {
    World::passwd_with(&format!("tim:{CRYPT}\ntom:{CRYPT}\n"), |settings| {
        settings.bans.failures = 10;
    })
}

pub(super) async fn login(world: &World, from: [u8; 4], name: &str, password: &str) -> Told {
    let client = Client {
        address: IpAddr::from(from),
        ..client()
    };
    let password = password.as_bytes().to_vec().into();
    let login = world.authenticator.password(&client, name, &password);
    world.tell(login).await
}

pub(super) fn turned_away(told: &Told) -> bool {
    told.result == Err(Refusal::Temporary) && told.hashes == 0 && told.took == FAILURE_TIME
}

/// Fails once more than an address may, under a name for each.
pub(super) async fn guess(world: &World, from: [u8; 4]) {
    for number in 0..=10 {
        let told = login(world, from, &format!("somebody{number}"), "x").await;
        assert_eq!(told.result, Err(Refusal::Credentials));
    }
}

// PRJ-SEC-3, PRJ-PASS-7: an address that guesses is not listened to any more, whoever it names and
// whatever the password.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_banned_address_is_told_the_same_of_everybody() {
    let world = world();
    guess(&world, STRANGER).await;
    for (name, password) in [("tim", "pencil"), ("tim", "x"), ("nobody", "x")] {
        let told = login(&world, STRANGER, name, password).await;
        assert!(turned_away(&told), "{name} {told:?}");
    }
    assert!(world.authenticator.turns_away(STRANGER.into()));
    assert!(login(&world, HOME, "tim", "pencil").await.is_for("tim"));
    tokio::time::advance(BanSettings::default().time).await;
    assert!(!world.authenticator.turns_away(STRANGER.into()));
    assert!(login(&world, STRANGER, "tim", "pencil").await.is_for("tim"));
}

/// A stranger behind the address that a user shares, or one who knows a user's name, cannot keep
/// the user out.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_whoever_has_logged_in_from_there_before_is_not_locked_out() {
    let world = world();
    assert!(login(&world, HOME, "tim", "pencil").await.is_for("tim"));
    guess(&world, HOME).await;
    // Connections are listened to, because one of them may be the user's…
    assert!(!world.authenticator.turns_away(HOME.into()));
    assert!(login(&world, HOME, "tim", "pencil").await.is_for("tim"));
    // …but nobody else's.
    assert!(turned_away(&login(&world, HOME, "tom", "pencil").await));
    // The name itself, from many addresses.
    for last in 100..=110 {
        login(&world, [203, 0, 113, last], "tim", &format!("x{last}")).await;
    }
    assert!(turned_away(
        &login(&world, [203, 0, 113, 1], "tim", "pencil").await
    ));
    assert!(login(&world, HOME, "tim", "pencil").await.is_for("tim"));
}

#[tokio::test(start_paused = true)]
async fn a_released_ban_is_over_for_addresses_and_names() {
    let world = world();
    guess(&world, STRANGER).await;
    for last in 100..=110 {
        login(&world, [203, 0, 113, last], "TIM", &format!("x{last}")).await;
    }
    let bans = world.authenticator.bans();
    let culprits: Vec<_> = bans.into_iter().map(|ban| ban.culprit).collect();
    assert!(culprits.contains(&Culprit::Address(STRANGER.into())));
    assert!(
        culprits.contains(&Culprit::Name("tim@a.example".to_owned())),
        "{culprits:?}"
    );
    assert!(
        world
            .authenticator
            .release(&Culprit::Address(STRANGER.into()))
    );
    assert!(
        world
            .authenticator
            .release(&Culprit::Name("Tim".to_owned()))
    );
    assert!(
        !world
            .authenticator
            .release(&Culprit::Name("tom".to_owned()))
    );
    assert!(login(&world, STRANGER, "tim", "pencil").await.is_for("tim"));
}

/// PRJ-PASS-7, R3206-AUTH-2: too many at once is no wrong password, and tells nothing of who
/// exists; a password that the cache knows needs no place.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_full_queue_is_our_failure_and_alike_for_everybody() {
    let world = world();
    assert!(login(&world, HOME, "tim", "pencil").await.is_for("tim"));
    let hashing = &world.authenticator.hashing;
    let mut places = Vec::new();
    while let Ok(place) = hashing.enter(Turn::stranger([192, 0, 2, 9].into())) {
        places.push(place);
    }
    for (name, password) in [("tom", "pencil"), ("tom", "x"), ("nobody", "x")] {
        let told = login(&world, STRANGER, name, password).await;
        assert!(turned_away(&told), "{name} {told:?}");
    }
    let known = login(&world, HOME, "tim", "pencil").await;
    assert!(known.is_for("tim") && known.took.is_zero(), "{known:?}");
    drop(places);
    assert!(login(&world, STRANGER, "tom", "pencil").await.is_for("tom"));
}

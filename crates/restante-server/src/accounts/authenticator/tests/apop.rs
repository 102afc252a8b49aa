//! APOP (RFC 1939 §7).

use super::*;

const TIMESTAMP: &str = "<1896.697170952@dbc.mtview.ca.us>";
const DIGEST: &str = "c4c9334bac560ecc979e58001b3e22fb";

fn world() -> World {
    let lines = format!("mrose:{{PLAIN}}tanstaaf\nhashed:{CRYPT}\nempty:{{PLAIN}}\n");
    World::passwd_with(&lines, |settings| settings.apop = true)
}

async fn apop(world: &World, name: &str, digest: &str) -> Told {
    let digest = digest.as_bytes().to_vec().into();
    let client = client();
    world
        .tell(world.authenticator.apop(&client, name, TIMESTAMP, &digest))
        .await
}

// R1939-APOP-3, R1939-APOP-4, PRJ-APOP-6
#[tokio::test(start_paused = true)]
async fn r1939_apop_3_rfc_example() {
    let world = world();
    assert!(apop(&world, "mrose", DIGEST).await.is_for("mrose"));
    assert!(
        apop(&world, "mrose", &DIGEST.to_uppercase())
            .await
            .is_for("mrose")
    );
}

#[tokio::test(start_paused = true)]
async fn r1939_apop_4_everything_else_fails_alike() {
    let world = world();
    // MD5 of the timestamp alone, for an account with an empty password.
    let of_nothing = "6d7379174f7df9fb329480e5c47c1f1a";
    for (name, digest) in [
        ("mrose", "c4c9334bac560ecc979e58001b3e22fc"),
        ("mrose", ""),
        ("mrose", &DIGEST[..31]),
        ("mrose", "c4c9334bac560ecc979e58001b3e22fb0"),
        ("nobody", DIGEST),
        // PRJ-APOP-8: not for users stored as one-way hashes.
        ("hashed", DIGEST),
        ("empty", of_nothing),
    ] {
        assert_eq!(
            apop(&world, name, digest).await,
            Told::wrong(),
            "{name} {digest}"
        );
    }
}

// PRJ-APOP-8
#[tokio::test(start_paused = true)]
async fn prj_apop_8_is_off_by_default() {
    let world = World::passwd("mrose:{PLAIN}tanstaaf\n");
    let told = apop(&world, "mrose", DIGEST).await;
    let expected = Told {
        result: Err(Refusal::Unavailable),
        took: Duration::ZERO,
        hashes: 0,
    };
    assert_eq!(told, expected);
}

// RFC 6856 §2.2: both sides prepare.
#[tokio::test(start_paused = true)]
async fn apop_prepares_the_secret() {
    let lines = "tim:{PLAIN}\u{2168}\n";
    let world = World::passwd_with(lines, |settings| settings.apop = true);
    let digest = Md5::new()
        .chain_update(TIMESTAMP)
        .chain_update("IX")
        .finalize();
    let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    assert!(apop(&world, "tim", &digest).await.is_for("tim"));
}

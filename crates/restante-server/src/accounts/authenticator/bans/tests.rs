//! Whose failures count, and how long a ban lasts.

use super::*;

const FAILURES: u32 = 10;
const TIME: Duration = Duration::from_secs(600);

/// Bans with the settings that lead to them.
struct Court {
    bans: Bans,
    settings: BanSettings,
}

impl Court {
    fn failed(&self, address: IpAddr, name: &str, fingerprint: Option<u64>) {
        let failure = Failure {
            address,
            name,
            fingerprint,
        };
        self.bans.failed(&self.settings, &failure);
    }
}

impl std::ops::Deref for Court {
    type Target = Bans;

    fn deref(&self) -> &Bans {
        &self.bans
    }
}

fn bans() -> Court {
    with(BanSettings {
        failures: FAILURES,
        time: TIME,
        never: vec!["192.0.2.128/25".parse().unwrap()],
    })
}

fn with(settings: BanSettings) -> Court {
    let bans = Bans::default();
    Court { bans, settings }
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// Fails once more than is allowed, under another name each time.
fn overdo(bans: &Court, address: IpAddr) {
    for number in 0..=FAILURES {
        bans.failed(address, &format!("name{number}"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_an_address_is_banned_after_its_failures_and_not_before() {
    let bans = bans();
    for number in 0..FAILURES {
        bans.failed(address(1), &format!("name{number}"), None);
        assert!(!bans.is_address_banned(address(1)), "{number}");
    }
    bans.failed(address(1), "name", None);
    assert!(bans.is_address_banned(address(1)));
    assert!(!bans.is_address_banned(address(2)));
    tokio::time::advance(TIME - Duration::from_millis(1)).await;
    assert!(bans.is_address_banned(address(1)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!bans.is_address_banned(address(1)));
}

#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_name_is_banned_wherever_the_guesses_come_from() {
    let bans = bans();
    for last in 0..=10 {
        bans.failed(address(last), "tim", None);
    }
    assert!(bans.is_name_banned("tim"));
    assert!(!bans.is_name_banned("tom"));
    assert!(!bans.is_address_banned(address(1)));
}

// PRJ-SEC-5: IPv6 by /64.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_an_ipv6_customer_is_banned_as_one() {
    let bans = bans();
    for number in 0..=FAILURES {
        let guest = format!("2001:db8:1:2::{number:x}").parse().unwrap();
        bans.failed(guest, &format!("name{number}"), None);
    }
    assert!(bans.is_address_banned("2001:db8:1:2:ffff::1".parse().unwrap()));
    assert!(!bans.is_address_banned("2001:db8:1:3::1".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_an_hour_old_do_not_count() {
    let bans = bans();
    for _ in 0..5 {
        for number in 0..FAILURES {
            bans.failed(address(1), &format!("name{number}"), None);
        }
        tokio::time::advance(WINDOW).await;
    }
    assert!(!bans.is_address_banned(address(1)));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_repeats_one_wrong_password_is_not_guessing() {
    let bans = bans();
    for _ in 0..1000 {
        bans.failed(address(1), "tim", Some(1));
        bans.failed(address(1), "tim", Some(2));
    }
    assert_eq!(bans.list(), []);
    for attempt in 0..=u64::from(FAILURES) {
        bans.failed(address(2), "tom", Some(attempt));
    }
    assert!(bans.is_address_banned(address(2)));
}

#[tokio::test(start_paused = true)]
async fn each_further_ban_of_an_address_is_longer_up_to_a_bound() {
    let bans = bans();
    let mut factors = Vec::new();
    for _ in 0..8 {
        overdo(&bans, address(1));
        let left = bans
            .list()
            .into_iter()
            .find(|ban| ban.culprit == Culprit::Address(address(1)));
        let left = left.unwrap().left;
        factors.push(left.as_secs() / TIME.as_secs());
        tokio::time::advance(left).await;
        assert!(!bans.is_address_banned(address(1)));
    }
    assert_eq!(factors, [1, 2, 4, 8, 16, 24, 24, 24]);
}

// PRJ-SEC-5: IPv6 by /64, and whoever is never banned has one address there.
#[tokio::test(start_paused = true)]
async fn an_ipv6_address_of_the_operator_is_never_banned_nor_are_its_neighbours() {
    let never = ["2001:db8:1:2::25/128", "2001:db8:5::/48", "192.0.2.7/32"];
    let bans = with(BanSettings {
        failures: FAILURES,
        time: TIME,
        never: never.map(|net| net.parse().unwrap()).into(),
    });
    for (from, is_spared) in [
        ("2001:db8:1:2::25", true),
        ("2001:db8:1:2:ffff::1", true),
        ("2001:db8:1:3::25", false),
        ("2001:db8:5:6::1", true),
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("192.0.2.8", false),
    ] {
        let from = from.parse().unwrap();
        overdo(&bans, from);
        assert_eq!(bans.is_address_banned(from), !is_spared, "{from}");
        let before = Culprit::Address(network_of(from));
        let restored = bans.restore(&bans.settings, &before, TIME, 1);
        assert_eq!(restored, !is_spared, "{from}");
    }
}

#[tokio::test(start_paused = true)]
async fn networks_of_the_operator_and_unknown_clients_are_never_banned() {
    let bans = bans();
    for spared in [address(200), [0, 0, 0, 0].into()] {
        overdo(&bans, spared);
        assert!(!bans.is_address_banned(spared), "{spared}");
    }
    // By default this machine is: webmail.
    let bans = with(BanSettings::default());
    for number in 0..1000 {
        bans.failed([127, 0, 0, 1].into(), &format!("name{number}"), None);
    }
    assert_eq!(bans.list(), []);
}

#[tokio::test(start_paused = true)]
async fn a_release_forgets_everything() {
    let bans = bans();
    let culprit = Culprit::Address(address(1));
    overdo(&bans, address(1));
    assert!(bans.release(&culprit));
    assert!(!bans.is_address_banned(address(1)));
    assert!(!bans.release(&culprit));
    overdo(&bans, address(1));
    assert_eq!(bans.list()[0].left, TIME, "as if it were the first");
}

#[test]
fn people_name_addresses_networks_and_names() {
    let network: IpAddr = "2001:db8:1:2::".parse().unwrap();
    for (text, culprit) in [
        ("192.0.2.1", Culprit::Address(address(1))),
        ("::ffff:192.0.2.1", Culprit::Address(address(1))),
        ("2001:db8:1:2::/64", Culprit::Address(network)),
        ("2001:db8:1:2:3:4:5:6", Culprit::Address(network)),
        ("tim", Culprit::Name("tim".to_owned())),
        (
            "192.0.2.1@example.com",
            Culprit::Name("192.0.2.1@example.com".to_owned()),
        ),
    ] {
        assert_eq!(Culprit::named(text), culprit);
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_means_no_bans() {
    let settings = BanSettings {
        time: Duration::ZERO,
        ..BanSettings::default()
    };
    let bans = with(settings);
    for number in 0..1000 {
        bans.failed(address(1), &format!("name{number}"), None);
    }
    assert_eq!(bans.list(), []);
}

#[tokio::test(start_paused = true)]
async fn prj_sec_1_a_flood_of_culprits_takes_bounded_memory() {
    let bans = bans();
    for number in 0..BANS_MAX + 100 {
        let end = Duration::from_secs(60) + Duration::from_millis(u64::try_from(number).unwrap());
        bans.ban(Culprit::Name(number.to_string()), end);
    }
    assert_eq!(bans.list().len(), BANS_MAX);
    // Those that would have ended soonest have made room.
    assert!(!bans.is_name_banned("99"));
    assert!(bans.is_name_banned("100"));
    assert_eq!(bans.tallies.policy().max_capacity(), Some(TALLIES_MAX));
    assert_eq!(bans.convictions.policy().max_capacity(), Some(TALLIES_MAX));
}

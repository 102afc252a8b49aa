//! When the next certificate is asked for. No clock and no chance in here: both are arguments.

use time::{Duration, OffsetDateTime};

/// A certificate is renewed when two thirds of its life are over, or up to a thirtieth of its life
/// before, so that not everybody who began on the same day comes back on the same day.
const LIFE_PARTS: i32 = 30;
const RENEW_AFTER_PARTS: i32 = 20;

/// An authority may suggest a later time (RFC 9773), but no later than this part of the life: an
/// error of its must not let the certificate end.
const SUGGESTED_PARTS_MAX: i32 = 25;

/// After a certificate was obtained none is asked for during this time, or during a third of its
/// life if that is shorter. A clock that is wrong by months, or an authority that suggests
/// nonsense, would otherwise ask for one after the other.
const REST: Duration = Duration::days(1);

/// How long the first failure is waited out, by how much more each further one, and the longest.
/// That is four attempts in the first hour. Let's Encrypt lets a name fail five times an hour.
const RETRY_FIRST: Duration = Duration::minutes(2);
const RETRY_GROWTH: i32 = 3;
const RETRY_MAX: Duration = Duration::hours(12);

/// Waits are longer by up to this part, so that what failed together is not tried together.
const RETRY_SPREAD: i32 = 8;

/// Who starts the server again has perhaps mended something, and waits no longer than this after
/// the last failure. A server that is started over and over stays within the limits too.
const RESTART_WAIT_MAX: Duration = Duration::minutes(15);

/// An authority that asks for more patience is asked again after this time all the same: its
/// limits are counted in hours.
const PATIENCE_MAX: Duration = Duration::hours(24);

/// The certificate that is served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    /// When it came here.
    pub(super) obtained: OffsetDateTime,
}

/// The window in which an authority would like to be asked (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: OffsetDateTime,
    pub(super) end: OffsetDateTime,
}

/// Attempts that failed, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    /// At least one.
    pub(super) count: u32,
    /// When the last one did.
    pub(super) last: OffsetDateTime,
    /// How long the authority asks to be left alone since.
    pub(super) patience: Option<Duration>,
    /// Whether the server was started since the last one.
    pub(super) is_before_start: bool,
}

/// A part of a whole that differs from machine to machine, in 65536ths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread(pub(super) u16);

impl Spread {
    fn of(self, whole: Duration) -> Duration {
        whole * f64::from(self.0) / 65536.0
    }
}

/// When a certificate that serves well is to be renewed.
pub(super) fn renewal(life: Life, suggested: Option<Window>, spread: Spread) -> OffsetDateTime {
    let whole = life.not_after - life.not_before;
    let part = whole / LIFE_PARTS;
    let usual = || life.not_before + part * RENEW_AFTER_PARTS - spread.of(part);
    let wanted = match suggested.filter(|window| window.start < window.end) {
        Some(window) => {
            let moment = window.start + spread.of(window.end - window.start);
            moment.min(life.not_before + part * SUGGESTED_PARTS_MAX)
        }
        None => usual(),
    };
    wanted.max(life.obtained + REST.min(whole / 3))
}

/// When it is tried again after failures. `now` bounds what a clock that was wrong has written.
pub(super) fn retry(failures: Failures, now: OffsetDateTime, spread: Spread) -> OffsetDateTime {
    let growth = RETRY_GROWTH.saturating_pow(failures.count.saturating_sub(1));
    let wait = RETRY_FIRST.checked_mul(growth).unwrap_or(RETRY_MAX);
    let wait = wait.min(RETRY_MAX);
    let mut wait = wait + spread.of(wait / RETRY_SPREAD);
    if failures.is_before_start {
        wait = wait.min(RESTART_WAIT_MAX);
    }
    let patience = failures.patience.unwrap_or_default().min(PATIENCE_MAX);
    failures.last.min(now) + wait.max(patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap() + Duration::days(number)
    }

    fn quarter(days: i64) -> Life {
        Life {
            not_before: day(0),
            not_after: day(days),
            obtained: day(0),
        }
    }

    const SPREADS: [Spread; 3] = [Spread(0), Spread(0x8000), Spread(u16::MAX)];

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_somewhat_before() {
        let [latest, middle, earliest] = SPREADS.map(|spread| renewal(quarter(90), None, spread));
        assert_eq!(latest, day(60));
        assert_eq!(middle, day(58) + Duration::hours(12));
        assert!(earliest > day(57) && earliest < day(58));
        // Short lives are no special case.
        let short = quarter(6);
        assert_eq!(renewal(short, None, Spread(0)), day(4));
    }

    #[test]
    fn no_certificate_is_asked_for_right_after_another_whatever_the_clock_says() {
        // The clock is two months ahead of the authority's: two thirds are over at once.
        let life = Life {
            obtained: day(70),
            ..quarter(90)
        };
        for spread in SPREADS {
            assert_eq!(renewal(life, None, spread), day(71));
        }
        // The authority says that it should have been yesterday, or long ago.
        let long_ago = Window {
            start: day(-400),
            end: day(-399),
        };
        assert_eq!(renewal(quarter(90), Some(long_ago), Spread(0)), day(1));
        // A life of a minute: twenty seconds of rest.
        let life = Life {
            not_after: day(0) + Duration::MINUTE,
            obtained: day(0) + Duration::MINUTE,
            ..quarter(1)
        };
        let next = renewal(life, None, Spread(0));
        assert_eq!(next, day(0) + Duration::seconds(80));
    }

    #[test]
    fn a_suggested_window_is_kept_to_but_never_to_the_end_of_the_life() {
        let window = |start, end| {
            Some(Window {
                start: day(start),
                end: day(end),
            })
        };
        let at = |window, spread| renewal(quarter(90), window, spread);
        assert_eq!(at(window(30, 32), Spread(0)), day(30));
        assert_eq!(at(window(30, 32), Spread(0x8000)), day(31));
        assert_eq!(at(window(62, 63), Spread(0)), day(62));
        for spread in SPREADS {
            assert_eq!(at(window(80, 9000), spread), day(75), "five sixths");
        }
        // A window that ends before it begins is none.
        assert_eq!(at(window(32, 30), Spread(0)), day(60));
    }

    fn failures(count: u32) -> Failures {
        Failures {
            count,
            last: day(0),
            patience: None,
            is_before_start: false,
        }
    }

    #[test]
    fn failures_are_waited_out_longer_and_longer_up_to_a_bound() {
        let wait = |count| retry(failures(count), day(0), Spread(0)) - day(0);
        let waits = [1, 2, 3, 4, 5, 6, 7, 1000, u32::MAX].map(|count| wait(count).whole_minutes());
        assert_eq!(waits, [2, 6, 18, 54, 162, 486, 720, 720, 720]);
        // Limits of Let's Encrypt: of one name five validations may fail in an hour.
        let mut moment = Duration::ZERO;
        let mut in_first_hour = 0;
        for count in 1.. {
            if moment >= Duration::HOUR {
                break;
            }
            in_first_hour += 1;
            moment += wait(count);
        }
        assert!(in_first_hour <= 5, "{in_first_hour}");
        let longest = retry(failures(9), day(0), Spread(u16::MAX)) - day(0);
        assert!(longest > RETRY_MAX && longest < RETRY_MAX + Duration::hours(2));
    }

    #[test]
    fn who_starts_the_server_again_waits_a_quarter_of_an_hour_at_most() {
        let after = |count| {
            let failures = Failures {
                is_before_start: true,
                ..failures(count)
            };
            retry(failures, day(0), Spread(0)) - day(0)
        };
        assert_eq!(after(1), Duration::minutes(2));
        assert_eq!(after(7), Duration::minutes(15));
        // Five starts in an hour are too many still.
        assert!(Duration::HOUR.whole_minutes() / after(7).whole_minutes() < 5);
    }

    #[test]
    fn the_patience_that_an_authority_asks_for_is_bounded() {
        let after = |patience| {
            let failures = Failures {
                patience: Some(patience),
                is_before_start: true,
                ..failures(1)
            };
            retry(failures, day(0), Spread(0)) - day(0)
        };
        assert_eq!(after(Duration::seconds(1)), Duration::minutes(2));
        assert_eq!(after(Duration::hours(3)), Duration::hours(3));
        assert_eq!(after(Duration::weeks(5000)), Duration::hours(24));
    }

    #[test]
    fn a_failure_of_a_clock_that_was_wrong_is_not_waited_for() {
        let failures = Failures {
            last: day(4000),
            ..failures(1)
        };
        assert_eq!(
            retry(failures, day(0), Spread(0)),
            day(0) + Duration::minutes(2)
        );
    }
}

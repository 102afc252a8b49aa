//! LOGIN-DELAY (RFC 2449 §6.5): how soon after a login an account may be opened again.

use std::time::Duration;

use moka::sync::Cache;
use restante_proto::server::Settings;
use tokio::time::Instant;

/// Accounts that are remembered, some 150 octets each. Only who knows a password gets an entry; if
/// there are more accounts, some may come back too soon.
const ACCOUNTS_MAX: u64 = 1_000_000;

/// No delay is longer.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// When each account was opened last.
pub(crate) struct LoginDelay {
    opened: Cache<String, Instant>,
}

impl Default for LoginDelay {
    fn default() -> Self {
        let opened = Cache::builder()
            .max_capacity(ACCOUNTS_MAX)
            .time_to_live(REMEMBERED_FOR)
            .build();
        Self { opened }
    }
}

impl LoginDelay {
    /// Whether a login of `account` comes too soon (R2449-DELAY-1, R2449-DELAY-4).
    pub(crate) fn is_too_soon(&self, account: &str, settings: &Settings) -> bool {
        let opened = self.opened.get(account);
        opened.is_some_and(|opened| opened.elapsed() < delay(settings))
    }

    /// The account has been opened. A login that came to nothing, because another session had the
    /// maildrop, is none that the next has to wait for.
    pub(crate) fn opened(&self, account: &str, settings: &Settings) {
        if !delay(settings).is_zero() {
            self.opened.insert(account.to_owned(), Instant::now());
        }
    }
}

/// What is announced is what is enforced.
fn delay(settings: &Settings) -> Duration {
    let announced = settings.login_delay;
    announced.map_or(Duration::ZERO, |delay| delay.largest)
}

#[cfg(test)]
mod tests {
    use restante_proto::LoginDelayCapability;

    use super::*;

    fn announcing(seconds: u64) -> Settings {
        Settings {
            login_delay: (seconds > 0).then_some(LoginDelayCapability {
                largest: Duration::from_secs(seconds),
                varies: false,
            }),
            ..Settings::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r2449_delay_1_the_next_login_is_accepted_when_the_delay_has_passed_and_not_before() {
        let (delay, minute) = (LoginDelay::default(), announcing(60));
        assert!(!delay.is_too_soon("tim", &minute));
        delay.opened("tim", &minute);
        assert!(delay.is_too_soon("tim", &minute));
        assert!(!delay.is_too_soon("tom", &minute));
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert!(delay.is_too_soon("tim", &minute));
        // A reload counts at once, for those who connect after it.
        assert!(!delay.is_too_soon("tim", &announcing(59)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!delay.is_too_soon("tim", &minute));
    }

    #[tokio::test(start_paused = true)]
    async fn no_delay_keeps_nobody_waiting_and_remembers_nobody() {
        let (delay, none) = (LoginDelay::default(), announcing(0));
        delay.opened("tim", &none);
        assert!(!delay.is_too_soon("tim", &none));
        delay.opened.run_pending_tasks();
        assert_eq!(delay.opened.entry_count(), 0);
    }
}

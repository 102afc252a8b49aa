//! LOGIN-DELAY (RFC 2449 §6.5): how soon after a login an account may be opened again.

use std::time::Duration;

use moka::sync::Cache;
use restante_proto::LoginDelayCapability;
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
    /// Whether a login of `account`, whose delay this is, comes too soon (R2449-DELAY-1,
    /// R2449-DELAY-4).
    pub(crate) fn is_too_soon(&self, account: &str, delay: Duration) -> bool {
        let opened = self.opened.get(account);
        opened.is_some_and(|opened| opened.elapsed() < delay)
    }

    /// The account, whose delay this is, has been opened. A login that came to nothing, because
    /// another session had the maildrop, is none that the next has to wait for.
    pub(crate) fn opened(&self, account: &str, delay: Duration) {
        if !delay.is_zero() {
            self.opened.insert(account.to_owned(), Instant::now());
        }
    }
}

/// What is said before login, where `everybodys` delay holds for all accounts but for those that
/// have one of `own` (R2449-DELAY-2); `None` if nobody has to wait.
#[must_use]
pub fn login_delay_before_login(
    everybodys: Duration,
    own: impl IntoIterator<Item = Duration>,
) -> Option<LoginDelayCapability> {
    let own: Vec<_> = own.into_iter().collect();
    let largest = own.iter().copied().fold(everybodys, Duration::max);
    (!largest.is_zero()).then(|| LoginDelayCapability {
        largest,
        varies: own.iter().any(|&own| own != everybodys),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn r2449_delay_1_the_next_login_is_accepted_when_the_delay_has_passed_and_not_before() {
        let delay = LoginDelay::default();
        assert!(!delay.is_too_soon("tim", MINUTE));
        delay.opened("tim", MINUTE);
        assert!(delay.is_too_soon("tim", MINUTE));
        assert!(!delay.is_too_soon("tom", MINUTE));
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert!(delay.is_too_soon("tim", MINUTE));
        // A reload counts at once, for those who connect after it.
        assert!(!delay.is_too_soon("tim", Duration::from_secs(59)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!delay.is_too_soon("tim", MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn no_delay_keeps_nobody_waiting_and_remembers_nobody() {
        let delay = LoginDelay::default();
        delay.opened("tim", Duration::ZERO);
        assert!(!delay.is_too_soon("tim", Duration::ZERO));
        delay.opened.run_pending_tasks();
        assert_eq!(delay.opened.entry_count(), 0);
    }

    #[test]
    fn r2449_delay_2_before_login_the_largest_delay_is_said_and_whether_it_varies() {
        let said = |everybodys, own: &[u64]| {
            let own = own.iter().copied().map(Duration::from_secs);
            let said = login_delay_before_login(Duration::from_secs(everybodys), own);
            said.map(|said| (said.largest.as_secs(), said.varies))
        };
        assert_eq!(said(0, &[]), None);
        assert_eq!(said(0, &[0]), None);
        assert_eq!(said(60, &[]), Some((60, false)));
        assert_eq!(said(60, &[60]), Some((60, false)));
        assert_eq!(said(60, &[10, 300]), Some((300, true)));
        assert_eq!(said(60, &[0]), Some((60, true)));
        assert_eq!(said(0, &[10]), Some((10, true)));
    }
}

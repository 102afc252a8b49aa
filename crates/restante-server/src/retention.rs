//! What is said to clients about how long mail stays (EXPIRE, RFC 2449 §6.7).

use std::time::Duration;

use restante_maildrop::{Keep, Policy};
use restante_proto::{Expire, ExpireCapability};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a policy keeps mail at least (R2449-EXPIRE-1, R2449-EXPIRE-2).
#[must_use]
pub fn expire(policy: Policy) -> Expire {
    let kept = match policy.keep {
        Keep::UntilFetched => Expire::Days(0),
        Keep::For(time) => days(time),
        // Nothing leaves that no client has asked to be deleted.
        _ => Expire::Never,
    };
    match policy.expire_unfetched {
        Some(time) if policy.keep != Keep::Forever => smaller(kept, days(time)),
        _ => kept,
    }
}

/// What is said before login, where `everybodys` policy holds for all accounts but for those that
/// have chosen one of `keeps` (R2449-EXPIRE-3).
#[must_use]
pub fn expire_before_login(
    everybodys: Policy,
    keeps: impl IntoIterator<Item = Keep>,
) -> ExpireCapability {
    let usual = expire(everybodys);
    let own = keeps
        .into_iter()
        .map(|keep| expire(Policy { keep, ..everybodys }));
    let own: Vec<_> = own.collect();
    ExpireCapability {
        smallest: own.iter().copied().fold(usual, smaller),
        varies: own.iter().any(|&own| own != usual),
    }
}

fn days(time: Duration) -> Expire {
    let days = time.as_secs() / DAY.as_secs();
    Expire::Days(u32::try_from(days).unwrap_or(u32::MAX))
}

fn smaller(one: Expire, other: Expire) -> Expire {
    match (one, other) {
        (Expire::Days(one), Expire::Days(other)) => Expire::Days(one.min(other)),
        (Expire::Never, other) => other,
        (one, Expire::Never) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(keep: Keep, expire_unfetched: Option<u64>) -> Policy {
        Policy {
            keep,
            expire_unfetched: expire_unfetched.map(|days| DAY * u32::try_from(days).unwrap()),
            ..Policy::default()
        }
    }

    #[test]
    fn r2449_expire_1_what_is_announced_is_the_least_that_is_kept() {
        for (keep, unfetched, said) in [
            (Keep::UntilDeleted, None, Expire::Never),
            (Keep::UntilDeleted, Some(90), Expire::Days(90)),
            (Keep::UntilFetched, None, Expire::Days(0)),
            (Keep::UntilFetched, Some(90), Expire::Days(0)),
            (Keep::For(DAY * 30), None, Expire::Days(30)),
            (Keep::For(DAY * 30), Some(90), Expire::Days(30)),
            (Keep::For(DAY * 30), Some(7), Expire::Days(7)),
            // Less than a day is no whole day.
            (Keep::For(DAY / 2), None, Expire::Days(0)),
            (Keep::Forever, Some(7), Expire::Never),
        ] {
            assert_eq!(
                expire(policy(keep, unfetched)),
                said,
                "{keep:?} {unfetched:?}"
            );
        }
    }

    #[test]
    fn r2449_expire_3_before_login_the_smallest_of_all_is_said_and_that_it_varies() {
        let everybodys = policy(Keep::UntilDeleted, None);
        let said = |keeps: &[Keep]| {
            let said = expire_before_login(everybodys, keeps.iter().copied());
            (said.smallest, said.varies)
        };
        assert_eq!(said(&[]), (Expire::Never, false));
        assert_eq!(said(&[Keep::Forever]), (Expire::Never, false));
        let month = Keep::For(DAY * 30);
        assert_eq!(said(&[month]), (Expire::Days(30), true));
        assert_eq!(said(&[month, Keep::UntilFetched]), (Expire::Days(0), true));
    }
}

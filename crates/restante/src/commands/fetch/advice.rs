//! What a person can do about a run that failed.

use restante_client::{Doubt, Error, SessionError};
use restante_fetch::{Consequence, Trouble};

/// What a person can do about it.
pub(super) fn hint(trouble: &Trouble, consequence: Consequence) -> Option<&'static str> {
    Some(match trouble {
        Trouble::Server(Error::Certificate { doubt, .. }) => of_certificate(*doubt),
        Trouble::Server(Error::NoStls) => "nothing was sent: try `tls = \"implicit\"`",
        Trouble::Server(Error::Session(SessionError::PlaintextAfterStls)) => {
            "nothing was sent: somebody on the line may have put words into the server's mouth; \
             `tls = \"implicit\"` leaves no room for that"
        }
        Trouble::Server(Error::Login { .. }) if consequence == Consequence::Refused => {
            "is the password right? Some providers want one made for programs, or POP3 to be \
             switched on"
        }
        Trouble::Server(Error::NoMechanism) => {
            "the server offers no way to log in that does not show the password to others"
        }
        Trouble::SetAside { .. } => "`restante fetch seen` tells which, and why",
        Trouble::Destination(_) => {
            "nothing was deleted from the server; it comes with the next run"
        }
        Trouble::State(_) if consequence == Consequence::Disk => {
            "without its notes nothing is deleted from the server; the next run goes on"
        }
        _ if consequence == Consequence::Later => "nothing is lost: the next run goes on",
        _ => return None,
    })
}

/// A pin is never the advice: whoever follows it pins what an attacker shows (R8314-PIN-1).
fn of_certificate(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Time => {
            "nothing was sent: is the clock of this machine right? Otherwise the server's operator \
             has to renew it"
        }
        Doubt::Name => {
            "nothing was sent: is `server` the name that its operator tells? It has to be in the \
             certificate"
        }
        Doubt::Issuer => {
            "nothing was sent: where a server has an authority of its own, its operator gives you \
             the authority's certificate, and `ca_file` names that file"
        }
        Doubt::Pin => {
            "nothing was sent: ask the server's operator whether the certificate is a new one \
             before you change `pins`; without `pins` the system's authorities decide"
        }
        _ => "nothing was sent: the server's operator has to mend it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R8314-PIN-1
    #[test]
    fn r8314_pin_1_no_failed_certificate_leads_to_a_pin() {
        for doubt in [Doubt::Time, Doubt::Name, Doubt::Issuer, Doubt::Form] {
            assert!(!of_certificate(doubt).contains("pin"), "{doubt}");
        }
    }
}

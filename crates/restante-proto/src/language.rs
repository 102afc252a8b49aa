//! Languages of response text, and the texts (RFC 6856 §3).

use alloc::string::String;

/// A language that response texts exist in.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Language {
    /// `i-default` (RFC 2277 §4.5): what is spoken before a LANG command. English.
    #[default]
    Default,
    /// `en`.
    English,
    /// `de`. The texts hold letters outside ASCII, in UTF-8.
    German,
}

impl Language {
    /// All languages, in the order in which LANG lists them and ranges are tried.
    pub const ALL: [Self; 3] = [Self::English, Self::German, Self::Default];

    /// The language tag (RFC 5646).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Default => "i-default",
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language's name in itself.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Default => "Default language",
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// The first language that `range` matches; `preferred` is what `*` stands for
    /// (R6856-LANG-4).
    #[must_use]
    pub fn find(range: &LanguageRange, preferred: Self) -> Option<Self> {
        if range.is_any() {
            return Some(preferred);
        }
        Self::ALL.into_iter().find(|it| range.matches(it.tag()))
    }
}

/// A basic language range (RFC 4647 §2.1), at most as long as a command line.
///
/// ```abnf
/// language-range = (1*8ALPHA *("-" 1*8alphanum)) / "*"
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LanguageRange(String);

impl LanguageRange {
    /// The range, or `None` if it is not one.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(octets).ok()?;
        let mut subtags = text.split('-');
        let first = subtags.next()?;
        let letters = |tag: &str| tag.bytes().all(|octet| octet.is_ascii_alphabetic());
        let alphanumeric = |tag: &str| tag.bytes().all(|octet| octet.is_ascii_alphanumeric());
        let length = |tag: &str| (1..=8).contains(&tag.len());
        let range = letters(first)
            && length(first)
            && subtags.all(|subtag| length(subtag) && alphanumeric(subtag));
        (range || text == "*").then(|| Self(String::from(text)))
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Basic filtering (RFC 4647 §3.3.1): the range is the tag, or the tag goes on with `-` after
    /// it; case does not matter.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        if self.is_any() {
            return true;
        }
        let Some((head, tail)) = tag.split_at_checked(self.0.len()) else {
            return false;
        };
        head.eq_ignore_ascii_case(&self.0) && (tail.is_empty() || tail.starts_with('-'))
    }
}

/// Makes [`Text`] and its table from one list: what is said, in English, in German.
macro_rules! texts {
    ($($text:ident: $english:literal, $german:literal;)+) => {
        /// Everything that the server says in words. No text begins with `[` (PRJ-CODE-4), holds
        /// a `<` (R1939-APOP-2), a CR or a LF, or anything the client has sent (PRJ-ERR-9).
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Text {
            $($text,)+
        }

        impl Text {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$text,)+];

            /// The text in `language`.
            pub(crate) const fn in_language(self, language: Language) -> &'static str {
                match (self, language) {
                    $(
                        (Self::$text, Language::Default | Language::English) => $english,
                        (Self::$text, Language::German) => $german,
                    )+
                }
            }
        }
    };
}

texts! {
    Greeting: "POP3 server ready", "POP3-Server bereit";
    Goodbye: "goodbye", "auf Wiedersehen";
    SendPassword: "send the password", "Passwort erwartet";
    LoggedIn: "maildrop open", "Postfach geöffnet";
    AuthenticationFailed: "authentication failed", "Anmeldung fehlgeschlagen";
    TooManyFailedLogins: "too many failed logins", "zu viele fehlgeschlagene Anmeldungen";
    LoginDelay: "the last login is too recent, try again later",
        "letzte Anmeldung zu kurz her, bitte später versuchen";
    Malformed: "malformed authentication data", "fehlerhafte Anmeldedaten";
    Cancelled: "authentication cancelled", "Anmeldung abgebrochen";
    ExchangeTooLong: "authentication exchange too long", "Anmeldevorgang zu lang";
    MechanismUnavailable: "authentication mechanism not available",
        "Anmeldeverfahren nicht verfügbar";
    LoginUnavailable: "this way to log in is not available",
        "diese Art der Anmeldung ist nicht verfügbar";
    CleartextRefused: "passwords are accepted over TLS only", "Passwörter nur über TLS";
    UserFirst: "send USER first", "zuerst USER senden";
    InUse: "maildrop is in use by another session",
        "Postfach wird von einer anderen Sitzung benutzt";
    Temporary: "temporary failure, try again later",
        "vorübergehende Störung, bitte später versuchen";
    Permanent: "internal failure, tell the operator", "interner Fehler, bitte Betreiber verständigen";
    WrongState: "command not allowed now", "Befehl jetzt nicht erlaubt";
    UnknownCommand: "unknown command", "unbekannter Befehl";
    SurplusArgument: "too many arguments", "zu viele Argumente";
    MissingArgument: "missing argument", "Argument fehlt";
    InvalidMessageNumber: "invalid message-number", "ungültige Nachrichtennummer";
    InvalidLineCount: "invalid line count", "ungültige Zeilenzahl";
    InvalidArgument: "invalid argument", "ungültiges Argument";
    NotUtf8: "argument is not UTF-8", "Argument ist kein UTF-8";
    LineTooLong: "line too long", "Zeile zu lang";
    ControlOctet: "control octet in command", "Steuerzeichen im Befehl";
    TooManyBadCommands: "too many bad commands", "zu viele ungültige Befehle";
    NoSuchMessage: "no such message", "keine solche Nachricht";
    ReadOnly: "this device may not delete mail", "dieses Gerät darf keine Nachrichten löschen";
    MessageDeleted: "message is marked as deleted", "Nachricht ist zum Löschen markiert";
    Marked: "message marked as deleted", "Nachricht zum Löschen markiert";
    Unmarked: "no message is marked as deleted", "keine Nachricht ist zum Löschen markiert";
    Nothing: "nothing done", "nichts getan";
    ScanListing: "scan listing follows", "Größenliste folgt";
    UniqueIdListing: "unique-id listing follows", "Kennungsliste folgt";
    Octets: "octets", "Oktette";
    TopFollows: "top of message follows", "Anfang der Nachricht folgt";
    Capabilities: "capability list follows", "Liste der Fähigkeiten folgt";
    Mechanisms: "mechanisms follow", "Anmeldeverfahren folgen";
    Languages: "languages follow", "Sprachen folgen";
    LanguageSelected: "language selected", "Sprache gewählt";
    NoSuchLanguage: "no such language", "keine solche Sprache";
    Utf8Mode: "UTF-8 mode", "UTF-8-Modus";
    BeginTls: "begin TLS negotiation", "TLS-Verhandlung beginnen";
    TlsUnavailable: "TLS not available now", "TLS jetzt nicht verfügbar";
    PlaintextAfterStls: "plaintext after STLS", "Klartext nach STLS";
    MessageGone: "message is gone", "Nachricht ist nicht mehr da";
    MessageChanged: "message has changed, try again in a new session",
        "Nachricht hat sich geändert, bitte in neuer Sitzung versuchen";
    NotRemoved: "some deleted messages not removed", "nicht alle gelöschten Nachrichten entfernt";
    LeaseLost: "maildrop was taken away", "Postfach wurde entzogen";
    CredentialLost: "the account or its password was changed, no message was removed",
        "Konto oder Passwort wurde geändert, keine Nachricht entfernt";
    ShuttingDown: "server is shutting down", "Server wird beendet";
    TooManyConnections: "too many connections, try again later",
        "zu viele Verbindungen, bitte später versuchen";
    Unavailable: "service not available", "Dienst nicht verfügbar";
}

#[cfg(test)]
mod tests;

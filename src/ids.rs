//! The names things go by. Parsed once, at the edge; inside the crate nothing is a bare string.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares a cheap-to-clone text identifier.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }

            /// Returns the text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The key of an integration, such as `google-calendar`.
    IntegrationKey
}
text_id! {
    /// The key of an action within its integration, such as `create-event`.
    ActionKey
}
text_id! {
    /// The name of a tool, `<integration key>_<action key>`, or a name that a client asked for.
    ToolName
}

/// Id of an HTTP request: the client's own or a drawn one, of visible ASCII characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTag(Bytes);

impl RequestTag {
    /// Takes a text, where it can stand in a log line and a header: of 1 to [`RequestTag::MAX_BYTES`] visible characters.
    #[must_use]
    pub fn parse(text: Bytes) -> Option<Self> {
        let is_sound = (1..=Self::MAX_BYTES).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        is_sound.then_some(Self(text))
    }

    /// Longest id that a client may bring.
    pub const MAX_BYTES: usize = 128;

    /// Stands for a request that was given no id.
    pub const NONE: Self = Self(Bytes::from_static(b"-"));

    /// Returns the text, which is visible ASCII.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for RequestTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("-"))
    }
}

/// Owner of a session, chat or catalog: a user within a workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserKey {
    workspace: Arc<str>,
    user: Arc<str>,
}

impl UserKey {
    /// Returns the user `user` of the workspace `workspace`.
    #[must_use]
    pub fn new(workspace: &str, user: &str) -> Self {
        Self { workspace: workspace.into(), user: user.into() }
    }

    /// Returns the workspace's key; empty where it is not known.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// Returns the user's id within the workspace.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

/// `workspace/user`. A `/` in the workspace's key is written as in a URL, so that no two users look alike: all after the first
/// `/` is the user.
impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let must_be_escaped = |byte| matches!(byte, b'%' | b'/');
        if self.workspace.bytes().any(must_be_escaped) {
            f.write_str(&self.workspace.replace('%', "%25").replace('/', "%2F"))?;
        } else {
            f.write_str(&self.workspace)?;
        }
        f.write_char('/')?;
        f.write_str(&self.user)
    }
}

/// The id of an MCP session: a random UUID v4 (MCP 2025-11-25, basic/transports § Session Management).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// Draws a new id from the operating system's random source.
    #[must_use]
    pub fn draw() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads an id as this server writes it. Anything else names no session.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = Uuid::try_parse(text).ok()?;
        (text.len() == uuid::fmt::Hyphenated::LENGTH).then_some(Self(id))
    }

    /// Returns a number that spreads ids evenly over shards.
    #[must_use]
    pub fn spread(&self) -> u64 {
        self.0.as_u64_pair().1
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address that a client's requests come from, as far as one client can be told from another by it: of IPv6 the
/// network, since a client may use any address of its own (RFC 6177 § 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of an `x-chat-id` header: the caller's own name for a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ChatId(Arc<str>);

impl ChatId {
    /// Longest accepted chat id, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Reads a chat id: 1 to 256 bytes without control characters, spaces around it ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() <= Self::MAX_BYTES;
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.into()))
    }

    /// Returns the text of the chat id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_read_only_in_the_form_it_is_written() {
        let id = SessionId::draw();
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        for text in ["", "1", "not-a-session", &id.to_string().replace('-', "")] {
            assert_eq!(SessionId::parse(text), None, "session id {text:?}");
        }
    }

    #[test]
    fn no_two_users_look_alike() {
        let show = |workspace, user| UserKey::new(workspace, user).to_string();
        assert_eq!(show("w", "ann"), "w/ann");
        assert_eq!(show("", "ann"), "/ann");
        assert_eq!([show("a", "b/c"), show("a/b", "c"), show("a%2Fb", "c")], ["a/b/c", "a%2Fb/c", "a%252Fb/c"]);
        assert_ne!(show("", "/c"), show("/", "c"));
    }

    #[test]
    fn addresses_of_one_client_are_one() {
        let of = |text: &str| ClientAddress::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::4"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_chat_id_has_bounds() {
        let longest = "x".repeat(ChatId::MAX_BYTES);
        let cases = [
            ("chat-1", true),
            (" spaces around ", true),
            (longest.as_str(), true),
            ("", false),
            ("  ", false),
            ("line\nbreak", false),
            ("\u{1b}[31mred", false),
            (&format!("{longest}x"), false),
        ];
        for (text, accepted) in cases {
            assert_eq!(ChatId::parse(text).is_some(), accepted, "chat id {text:?}");
        }
    }
}

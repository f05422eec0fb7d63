//! Sign-ins of users who open links.

use super::Link;
use crate::secret::Secret;

/// Sign-in that a browser is sent to.
#[derive(Debug)]
pub struct SignInBegun {
    /// Page on which the user signs in.
    pub page: String,
    /// Text that the browser keeps until then.
    pub browser: String,
}

/// Sign-in of a user, for a link.
pub struct SignInEnded {
    /// Name of the link.
    pub name: String,
    /// Link that the user has opened.
    pub link: Link,
    /// Token of the user who has signed in.
    pub token: Secret,
}

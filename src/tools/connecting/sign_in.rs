//! Sign-ins of users who open links.

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
    pub link: String,
    /// Token of the user who has signed in.
    pub token: Secret,
}

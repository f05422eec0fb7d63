//! Links on which users connect accounts: made, kept, found again and used once.

use std::{
    rc::Rc,
    time::{Duration, SystemTime},
};

use super::ToolService;
use crate::{
    error::Error,
    ids::UserKey,
    protocol::json,
    seal::{Bond, Sealer},
    store::runs::Digest,
    tools::connecting::{Asking, Link, LinkUse, Wanted},
};

/// Time for which a link leads somewhere, and a call can go on: a user signs in within it, or asks for another link.
pub(super) const TTL: Duration = Duration::from_secs(15 * 60);

/// Characters of a link's name.
const NAME: std::ops::RangeInclusive<usize> = 16..=64;

impl ToolService {
    pub(super) async fn sealer(&self) -> Result<Rc<Sealer>, Error> {
        self.0.seals.get(&*self.0.store).await
    }

    /// Returns the link of a name, while it lasts.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        if !NAME.contains(&name.len()) {
            return Ok(None);
        }
        let Some(sealed) = self.0.store.note(Digest::of(&["link", name])).await? else { return Ok(None) };
        let text = self.sealer().await?.open(Bond { purpose: "link", facts: &[name] }, &sealed, SystemTime::now());
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Returns the use that was made of a link.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn link_use(&self, name: &str) -> Result<Option<LinkUse>, Error> {
        let used = self.0.store.note(Digest::of(&["link-use", name])).await?;
        Ok(used.map(|used| LinkUse::parse(&used)))
    }

    /// Uses a link, once; gives the use that was made of it before.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn use_link(&self, name: &str, r#use: LinkUse) -> Result<Option<LinkUse>, Error> {
        let key = Digest::of(&["link-use", name]);
        let before = self.0.store.claim_note(key, r#use.as_str().to_owned(), Some(TTL)).await?;
        Ok(before.map(|before| LinkUse::parse(&before)))
    }

    /// Returns the link by which a user was asked last to connect an account, while it lasts.
    pub(super) async fn pending_link(&self, user: &UserKey, wanted: &Wanted) -> Result<Option<(String, Link)>, Error> {
        let (name, link) = self.last_link(user, wanted).await?;
        Ok(link.map(|link| (name, link)))
    }

    /// Returns the name that was noted last for an account, which is empty where none was, and the link behind it, while it lasts.
    pub(super) async fn last_link(&self, user: &UserKey, wanted: &Wanted) -> Result<(String, Option<Link>), Error> {
        let name = self.0.store.note(pending(user, wanted)).await?.unwrap_or_default();
        let link = self.link_of(user, &name).await?;
        Ok((name, link))
    }

    /// Returns the link of a name, if it was made for a user.
    async fn link_of(&self, user: &UserKey, name: &str) -> Result<Option<Link>, Error> {
        // The store is another's to write to, perhaps: nobody is sent to a page that was made for another user.
        let is_theirs = |link: &Link| link.workspace == user.workspace() && link.user == user.user();
        Ok(self.link(name).await?.filter(is_theirs))
    }

    /// Forgets the link that a user has for an account, so that the next question makes another.
    pub(super) async fn forget_link(&self, user: &UserKey, wanted: &Wanted) -> Result<(), Error> {
        // A name without a link. It is another one each time, for what comes after a name is claimed once.
        let name = Sealer::draw_name().ok_or(Error::Internal)?;
        Ok(self.0.store.put_note(pending(user, wanted), name, Some(TTL)).await?)
    }

    /// Keeps a link that comes after the name `before`, and gives its name. Of calls that ask at once, the first one's link is
    /// kept and given to all.
    pub(super) async fn keep_link(
        &self,
        user: &UserKey,
        wanted: &Wanted,
        before: &str,
        link: Link,
    ) -> Result<(String, Link), Error> {
        let name = Sealer::draw_name().ok_or(Error::Internal)?;
        let until = SystemTime::now() + TTL;
        let bond = Bond { purpose: "link", facts: &[&name] };
        let sealed = self.sealer().await?.seal(bond, &json::to_string(&link), until).ok_or(Error::Internal)?;
        let store = &self.0.store;
        // Before it is claimed, so that whoever comes second finds it.
        store.put_note(Digest::of(&["link", &name]), sealed, Some(TTL)).await?;
        let pending = pending(user, wanted);
        let after = Digest::of(&["next-link", &pending.to_hex(), before]);
        if let Some(first) = store.claim_note(after, name.clone(), Some(TTL)).await?
            && let Some(link) = self.link_of(user, &first).await?
        {
            return Ok((first, link));
        }
        // It ends later than the claim, so that no claim outlasts the name that it comes after.
        store.put_note(pending, name.clone(), Some(TTL)).await?;
        Ok((name, link))
    }

    /// Returns the address that a user opens: a page of this server that leads to the upstream's, or the upstream's.
    pub(super) fn address(&self, asking: &Asking, name: &str, link: &Link) -> String {
        match self.0.has_interstitial {
            true => format!("{}/connect/{name}", asking.site),
            false => link.url.clone(),
        }
    }
}

/// Returns the key of the note on the link that a user has for an account.
fn pending(user: &UserKey, wanted: &Wanted) -> Digest {
    let connection = wanted.connection.as_deref().unwrap_or_default();
    Digest::of(&["pending-link", user.workspace(), user.user(), wanted.app.as_str(), connection])
}

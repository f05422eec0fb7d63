//! Names of keys and channels in Redis. `docs/scaling.md` tells operators what each holds.
//!
//! On a cluster each name has a tag in braces, which alone says in which slot the key is: all that is a user's is in one, so that
//! scripts can change it as a whole.

use crate::{
    ids::{SessionId, UserKey},
    store::{outputs::OutputId, runs::Digest},
};

/// Names in one Redis, or on a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    is_cluster: bool,
    /// Number of the database. Channels are the same in all of a Redis.
    database: i64,
}

impl Keys {
    /// Returns the names in this database, or on a cluster.
    pub(super) fn new(is_cluster: bool, database: i64) -> Self {
        Self { is_cluster, database }
    }

    /// Returns whether names have tags.
    pub(super) fn are_tagged(self) -> bool {
        self.is_cluster
    }

    /// Returns the name of a user, which is a part of all names of what is theirs. The length keeps apart what a separator could
    /// not. Scripts are given it and make names of it, too.
    pub(super) fn owner(self, owner: &UserKey) -> String {
        self.tagged(&format!("{}:{}:{}", owner.workspace().len(), owner.workspace(), owner.user()))
    }

    /// Returns a tag. A brace within it does no harm: it ends the tag at the same place in all names that have it.
    fn tagged(self, tag: &str) -> String {
        match self.is_cluster {
            true => format!("{{{tag}}}"),
            false => tag.to_owned(),
        }
    }

    /// Returns the name of something that servers have in common, which has a slot of its own on a cluster.
    fn common(self, name: &str) -> String {
        match self.is_cluster {
            true => format!("{name}:{}", self.tagged("servers")),
            false => name.to_owned(),
        }
    }

    /// Returns the key of the format of all the others.
    pub(super) fn format(self) -> String {
        self.common("mcp:format")
    }

    /// Returns the key that is there as long as a server lives.
    pub(super) fn replica(self, replica: &str) -> String {
        self.common(&format!("mcp:replica:{replica}"))
    }

    /// Returns the key of the servers that live, a sorted set by their last beat.
    pub(super) fn replicas(self) -> String {
        self.common("mcp:replicas")
    }

    /// Returns the key of a session, a hash. Scripts make this name, too.
    pub(super) fn session(self, owner: &UserKey, session: SessionId) -> String {
        self.of_session("session", owner, session)
    }

    /// Returns the key of the events on a session's streams, a Redis stream.
    pub(super) fn events(self, owner: &UserKey, session: SessionId) -> String {
        self.of_session("events", owner, session)
    }

    fn of_session(self, kind: &str, owner: &UserKey, session: SessionId) -> String {
        match self.is_cluster {
            true => format!("mcp:{kind}:{session}:{}", self.owner(owner)),
            false => format!("mcp:{kind}:{session}"),
        }
    }

    /// Returns the key of a user's chats with their sessions, a hash. Scripts make this name, too, and two alike:
    /// `mcp:sessions:…`, the sessions of a user by their last use, and `mcp:chat-ages:…`, the chats of a user by the time they
    /// were bound. Both are sorted sets.
    pub(super) fn chats(self, owner: &UserKey) -> String {
        format!("mcp:chats:{}", self.owner(owner))
    }

    /// Returns the key of the rate of a user's calls, a time.
    pub(super) fn calls(self, owner: &UserKey) -> String {
        format!("mcp:calls:{}", self.owner(owner))
    }

    /// Returns the key of a user's streams, a hash of the servers that have more than their part.
    pub(super) fn streams(self, owner: &UserKey) -> String {
        format!("mcp:streams:{}", self.owner(owner))
    }

    /// Returns the key of a call that runs once, a hash, and that of all such calls of its user, a sorted set by their begin.
    pub(super) fn run(self, owner: &UserKey, key: Digest) -> [String; 2] {
        let owner = self.owner(owner);
        [format!("mcp:run:{owner}:{}", key.to_hex()), format!("mcp:runs:{owner}")]
    }

    /// Returns the key of a kept output, a hash, and that of all such outputs of its user, a list from the newest.
    pub(super) fn output(self, owner: &UserKey, id: OutputId) -> [String; 2] {
        let owner = self.owner(owner);
        [format!("mcp:output:{owner}:{id}"), format!("mcp:outputs:{owner}")]
    }

    /// Returns the channel of news for all servers.
    pub(super) fn news(self) -> String {
        match self.is_cluster {
            true => format!("mcp:{}", self.tagged("news")),
            false => format!("mcp:{}:news", self.database),
        }
    }

    /// Returns the channel of news for one server, in the same slot.
    pub(super) fn news_for(self, replica: &str) -> String {
        format!("{}:{replica}", self.news())
    }
}

/// Returns the key of a note.
pub(super) fn note(key: Digest) -> String {
    format!("mcp:note:{}", key.to_hex())
}

/// Returns the key of bytes.
pub(super) fn bytes(key: Digest) -> String {
    format!("mcp:bytes:{}", key.to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slot's part of a key, as the specification of Redis Cluster finds it.
    fn tag(key: &str) -> &str {
        let Some((_, rest)) = key.split_once('{') else { return key };
        match rest.split_once('}') {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => key,
        }
    }

    #[test]
    fn all_keys_of_a_user_are_in_one_slot_of_a_cluster() {
        let keys = Keys::new(true, 0);
        let users = [("acme", "ann"), ("", ""), ("{}", "}{"), ("a}b", "{c}"), ("{", "a"), ("}", "a")];
        for (workspace, user) in users {
            let owner = UserKey::new(workspace, user);
            let (session, digest) = (SessionId::draw(), Digest::of(&["key"]));
            let [run, runs] = keys.run(&owner, digest);
            let [output, outputs] = keys.output(&owner, OutputId::draw());
            let all = [keys.session(&owner, session), keys.events(&owner, session), keys.chats(&owner)];
            let limits = [keys.calls(&owner), keys.streams(&owner)];
            for key in all.iter().chain(&limits).chain([&run, &runs, &output, &outputs]) {
                assert_eq!(tag(key), tag(&keys.chats(&owner)), "{key}");
                assert!(tag(key).len() < key.len(), "{key} has a tag");
            }
        }
        assert_eq!(tag(&keys.format()), tag(&keys.replica("one")));
        assert_eq!(tag(&keys.format()), tag(&keys.replicas()));
        assert_eq!(tag(&keys.news()), tag(&keys.news_for("one")));
    }

    #[test]
    fn keys_in_a_single_redis_are_those_of_earlier_versions() {
        let (keys, owner, session) = (Keys::new(false, 3), UserKey::new("acme", "ann"), SessionId::draw());
        assert_eq!(keys.session(&owner, session), format!("mcp:session:{session}"));
        assert_eq!(keys.events(&owner, session), format!("mcp:events:{session}"));
        assert_eq!(keys.chats(&owner), "mcp:chats:4:acme:ann");
        assert_eq!(keys.format(), "mcp:format");
        assert_eq!(keys.replica("one"), "mcp:replica:one");
        assert_eq!(keys.news_for("one"), "mcp:3:news:one");
    }
}

//! Texts that clients carry and only this server can read or write, as can replicas with the same key.
//!
//! Each text is encrypted and authenticated with ChaCha20-Poly1305 (RFC 8439) under a key of its own, which HKDF derives from the
//! server's key and a random salt. So no two texts share a key, and replicas need not agree on nonces.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
    rand::{SecureRandom, SystemRandom},
};

use crate::secret::Secret;

/// Keeps the keys that are derived here apart from all others that are made of the same secret.
const DOMAIN: &[u8] = b"integration-app-mcp-server: seal, version 1";

/// Bytes of the random salt before each text. Salts of this length never meet by chance.
const SALT_BYTES: usize = 24;

/// Bytes of the time at which a text expires: seconds since 1970.
const TIME_BYTES: usize = 8;

/// Longest sealed text that is looked at, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// Writes and reads sealed texts.
pub struct Sealer(Prk);

/// Bond of a sealed text: it opens for the same purpose and the same facts alone.
#[derive(Debug, Clone, Copy)]
pub struct Bond<'a> {
    /// Name of the purpose, so that a text of one kind never passes for one of another.
    pub purpose: &'static str,
    /// Facts that must be the same when the text is opened, such as the user.
    pub facts: &'a [&'a str],
}

impl Bond<'_> {
    /// Returns the bond as authenticated data. Each text counts with its length, so that no two bonds are alike.
    fn data(&self) -> Vec<u8> {
        let texts = std::iter::once(self.purpose).chain(self.facts.iter().copied());
        texts.fold(Vec::new(), |mut data, text| {
            data.extend((text.len() as u64).to_le_bytes());
            data.extend(text.as_bytes());
            data
        })
    }
}

impl Sealer {
    /// Returns a sealer with a key made of this secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self(Salt::new(HKDF_SHA256, DOMAIN).extract(secret.reveal().as_bytes()))
    }

    /// Draws a secret for a key. Nothing where the system has no random numbers.
    #[must_use]
    pub fn draw_secret() -> Option<Secret> {
        draw::<32>().map(|bytes| Secret::new(&URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Draws a name that nobody can guess: 22 characters that stand in URLs as they are.
    #[must_use]
    pub fn draw_name() -> Option<String> {
        draw::<16>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Seals a text until a time. Nothing where the system has no random numbers, or the text is too long.
    #[must_use]
    pub fn seal(&self, bond: Bond<'_>, text: &str, until: SystemTime) -> Option<String> {
        let salt = draw::<SALT_BYTES>()?;
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut sealed = [&until.to_be_bytes(), text.as_bytes()].concat();
        self.key(&salt)?.seal_in_place_append_tag(nonce(), Aad::from(bond.data()), &mut sealed).ok()?;
        // What could not be opened again is not given out.
        Some(URL_SAFE_NO_PAD.encode([&salt, sealed.as_slice()].concat())).filter(|sealed| sealed.len() <= MAX_BYTES)
    }

    /// Opens a text. One that was changed, is bound otherwise or has expired gives nothing, and nothing tells them apart.
    #[must_use]
    pub fn open(&self, bond: Bond<'_>, sealed: &str, now: SystemTime) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(Some(sealed).filter(|sealed| sealed.len() <= MAX_BYTES)?).ok()?;
        let (salt, sealed) = bytes.split_at_checked(SALT_BYTES)?;
        let mut sealed = sealed.to_vec();
        let opened = self.key(salt)?.open_in_place(nonce(), Aad::from(bond.data()), &mut sealed).ok()?;
        let (until, text) = opened.split_at_checked(TIME_BYTES)?;
        let until = UNIX_EPOCH + Duration::from_secs(u64::from_be_bytes(until.try_into().ok()?));
        (now < until).then(|| String::from_utf8(text.to_vec()).ok()).flatten()
    }

    /// Returns the key of one text.
    fn key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let info = [salt];
        let key = self.0.expand(&info, &CHACHA20_POLY1305).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

/// Returns the nonce of every text: each has a key of its own, which is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn draw<const BYTES: usize>() -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"request":"r-1"}"#;

    fn sealer(secret: &str) -> Sealer {
        Sealer::new(&Secret::new(secret))
    }

    fn bond<'a>(purpose: &'static str, facts: &'a [&'a str]) -> Bond<'a> {
        Bond { purpose, facts }
    }

    #[test]
    fn a_text_opens_for_its_user_call_and_time_alone() {
        let (key, now) = (sealer("key"), SystemTime::now());
        let until = now + Duration::from_secs(60);
        let bound = ["w", "ann", "digest"];
        let sealed = key.seal(bond("state", &bound), TEXT, until).unwrap();
        let open =
            |key: &Sealer, purpose, facts: &[&str], sealed: &str, now| key.open(bond(purpose, facts), sealed, now);
        assert_eq!(open(&key, "state", &bound, &sealed, now).as_deref(), Some(TEXT));
        assert_eq!(open(&sealer("key"), "state", &bound, &sealed, now).as_deref(), Some(TEXT), "another replica");
        assert_eq!(open(&sealer("other"), "state", &bound, &sealed, now), None, "another key");
        assert_eq!(open(&key, "link", &bound, &sealed, now), None, "another purpose");
        for facts in [&["w", "bob", "digest"][..], &["v", "ann", "digest"], &["w", "ann", "other"], &["w", "ann"]] {
            assert_eq!(open(&key, "state", facts, &sealed, now), None, "{facts:?}");
        }
        assert_eq!(open(&key, "state", &["wann", "", "digest"], &sealed, now), None, "texts that join alike");
        assert_eq!(open(&key, "state", &bound, &sealed, until), None, "its time is over");
    }

    #[test]
    fn a_text_that_was_changed_anywhere_does_not_open() {
        let (key, now) = (sealer("key"), SystemTime::now());
        let bond = bond("state", &[]);
        let sealed = key.seal(bond, TEXT, now + Duration::from_secs(60)).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(key.open(bond, &URL_SAFE_NO_PAD.encode(&changed), now), None, "byte {place}");
            assert_eq!(key.open(bond, &URL_SAFE_NO_PAD.encode(&bytes[..place]), now), None, "cut at {place}");
        }
        for text in ["", "=", "ä", &sealed.repeat(200), &format!("{sealed}A"), &format!("{sealed}=")] {
            assert_eq!(key.open(bond, text, now), None, "{text}");
        }
    }

    #[test]
    fn nothing_of_a_text_shows_and_no_two_are_alike() {
        let (key, until) = (sealer("key"), SystemTime::now() + Duration::from_secs(60));
        let seal = || key.seal(bond("state", &[]), TEXT, until).unwrap();
        let (one, two) = (seal(), seal());
        assert_ne!(one, two);
        let shared = URL_SAFE_NO_PAD
            .decode(&one)
            .unwrap()
            .iter()
            .zip(URL_SAFE_NO_PAD.decode(&two).unwrap())
            .filter(|(a, b)| **a == *b)
            .count();
        assert!(shared < 16, "{shared} bytes are alike");
        assert_eq!(Sealer::draw_name().unwrap().len(), 22);
        assert_ne!(Sealer::draw_secret(), Sealer::draw_secret());
    }
}

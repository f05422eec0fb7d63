//! Admission of tokens that are not known to be good. Each costs a request upstream, so guesses are limited: for each
//! address, for each user that is claimed, and overall.
//!
//! A question is charged before the upstream is asked, and the charge is given back where the token was good. Guesses that
//! come all at once therefore cost no more than those that come one by one. A request that finds a budget lent to questions
//! on their way waits for those, so that a crowd of good tokens from one address is let in, if not at once.

mod budget;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::budget::{Budgets, Charge};
use crate::{
    config::Settings,
    error::Error,
    ids::{ClientAddress, UserKey},
    membrane::{Caller, Standing},
};

/// Failures in a minute from all addresses together, in multiples of those from one.
const OVERALL: u32 = 50;

/// Failures in a minute of tokens that claim a user who is known here, beyond those of their addresses. A user's new token
/// gets in by these where others have used up the address, and there are too few of them to guess by.
const FAILURES_OF_USER: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

/// See the [module](self). One for all workers.
pub struct Admission {
    addresses: Arc<Budgets<ClientAddress>>,
    users: Arc<Budgets<UserKey>>,
    overall: Arc<Budgets<Pool>>,
    /// Questions that may be in flight. The upstream's other turns are for users who are known.
    questions: Arc<Semaphore>,
    timeout: Duration,
}

/// Pool that an overall budget is for. Strangers who exhaust theirs keep no known user out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pool {
    Strangers,
    KnownUsers,
}

/// A question that may be asked. Dropped without an answer, it stays charged.
pub struct Question {
    charges: Charges,
    _in_flight: OwnedSemaphorePermit,
}

/// The budgets that a question is charged to.
#[derive(Default)]
struct Charges {
    address: Option<Charge<ClientAddress>>,
    user: Option<Charge<UserKey>>,
    overall: Option<Charge<Pool>>,
}

impl Admission {
    /// Returns an admission with the bounds of these settings and constants.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let failures = NonZeroU32::new(settings.tuning.max_token_failures_per_min).unwrap_or(NonZeroU32::MIN);
        let in_flight = (settings.tuning.max_reads / 2).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            addresses: Budgets::per_minute(failures),
            users: Budgets::per_minute(FAILURES_OF_USER),
            overall: Budgets::per_minute(failures.saturating_mul(NonZeroU32::MIN.saturating_add(OVERALL - 1))),
            questions: Arc::new(Semaphore::new(in_flight)),
            timeout: settings.tuning.read_timeout,
        }
    }

    /// Admits a question about a token of this standing, which came from `address`.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`]; [`Error::UpstreamUnavailable`] where too many others are being asked.
    pub async fn admit(&self, address: ClientAddress, standing: Standing) -> Result<Question, Error> {
        let until = Instant::now() + self.timeout;
        let charges = match standing {
            // The very token was good before, so this is no guess, however many come from the address.
            Standing::AcceptedBefore | Standing::Trusted(_) => Charges::default(),
            Standing::Stranger => self.charge_stranger(address, until).await?,
            Standing::Claims(user) => match self.charge_stranger(address, until).await {
                Err(refused) => self.charge_user(&user, until).await.map_err(|_wait| refused)?,
                charged => charged?,
            },
        };
        let in_flight = Arc::clone(&self.questions).acquire_owned();
        if let Ok(Ok(in_flight)) = tokio::time::timeout_at(until.into(), in_flight).await {
            return Ok(Question { charges, _in_flight: in_flight });
        }
        charges.give_back();
        metrics::counter!("mcp_limited_total", "limit" => "questions").increment(1);
        Err(Error::UpstreamUnavailable("too many tokens are being checked; try again later".to_owned()))
    }

    /// Charges a guess that was found out without the upstream.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`].
    pub fn charge_guess(&self, address: ClientAddress) -> Result<(), Error> {
        self.addresses.try_charge(&address).map(drop).map_err(|wait| self.refuse(address, wait))
    }

    async fn charge_stranger(&self, address: ClientAddress, until: Instant) -> Result<Charges, Error> {
        let charge = self.addresses.charge(&address, until).await.map_err(|wait| self.refuse(address, wait))?;
        match self.overall.charge(&Pool::Strangers, until).await {
            Ok(overall) => Ok(Charges { address: Some(charge), overall: Some(overall), user: None }),
            Err(wait) => {
                // A question that is not asked is no failure of the address.
                charge.give_back();
                Err(self.refuse_all(Pool::Strangers, wait))
            }
        }
    }

    async fn charge_user(&self, user: &UserKey, until: Instant) -> Result<Charges, Duration> {
        let charge = self.users.charge(user, until).await?;
        match self.overall.charge(&Pool::KnownUsers, until).await {
            Ok(overall) => Ok(Charges { address: None, overall: Some(overall), user: Some(charge) }),
            Err(wait) => {
                charge.give_back();
                Err(wait)
            }
        }
    }

    fn refuse(&self, address: ClientAddress, wait: Duration) -> Error {
        if self.addresses.note_exhausted(&address) {
            log::warn!(address:%; "too many tokens from there were refused: new ones wait for {} s", wait.as_secs() + 1);
        }
        too_many(wait)
    }

    fn refuse_all(&self, pool: Pool, wait: Duration) -> Error {
        if self.overall.note_exhausted(&pool) {
            log::warn!("too many tokens from everywhere were refused: new ones wait for {} s", wait.as_secs() + 1);
        }
        too_many(wait)
    }
}

fn too_many(wait: Duration) -> Error {
    metrics::counter!("mcp_limited_total", "limit" => "failed_authentications").increment(1);
    Error::TooManyFailures { wait }
}

impl Charges {
    fn give_back(self) {
        self.address.into_iter().for_each(Charge::give_back);
        self.user.into_iter().for_each(Charge::give_back);
        self.overall.into_iter().for_each(Charge::give_back);
    }
}

impl Question {
    /// Settles the charges by the upstream's answer. Where it could not say, nobody has guessed wrong.
    pub fn settle(self, answer: &Result<Caller, Error>) {
        if !matches!(answer, Err(Error::Unauthenticated(_) | Error::AccessDenied(_))) {
            self.charges.give_back();
        }
    }
}
